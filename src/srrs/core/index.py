"""Nearest neighbors among very many samples by an index (faiss).

The index divides the samples into cells, and searches a few cells for each query. The cells are fitted by k-means to
evenly spaced samples, in one thread, and filled in the order of the samples. Sort the samples by key if their order
must not matter. N samples, n queries, D feature size.
"""

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from srrs.core.blocks import ROWS, is_large
from srrs.core.keyed import Keys
from srrs.mapped import TakenRows, release

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

MOST = 2**28
"""Number of entries (N * D) of the largest index, which holds them in float16: half a million images of 512 numbers."""
CELLS, PROBED = 4.0, 16
"""Number of cells, as a multiple of the square root of N, and number of cells that are searched for each query."""
TRAINED, ROUNDS = 32, 6
"""Number of samples per cell to which the cells are fitted, and number of rounds of k-means."""
SPARE = 8
"""Number of additional neighbors that are searched, so that ties can be broken by position."""


def installed() -> bool:
    """Return whether faiss can be imported."""
    return importlib.util.find_spec("faiss") is not None


def unsearchable(rows: int, size: int) -> str:
    """Return a sentence with the reason why the neighbors of the samples are not searched; '' if they are searched.

    `rows` is the number of samples, `size` the feature size.
    """
    if not is_large(rows):
        return ""
    skipped = f"With {rows:,} images, neighbors, near-duplicates and off-topic images were not looked for"
    if rows * size > MOST:
        return f"{skipped}: an index of more than {MOST // size:,} images of {size} numbers would take too long."
    if not installed():
        return f"{skipped}: that needs an index (pip install 'srrs[index]')."
    return ""


def neighbors_of_many(features: Any, keys: Keys, k: int = 10) -> tuple[Ints, Floats] | None:
    """Return the k nearest other samples of each of very many samples: positions and cosines (N, k), best first.

    See `Index.search` for ties and missing neighbors. `features` are (N, D). The samples are sorted by `keys` (N,), so
    the result does not depend on their order. The result is None up to 65,536 samples, for which all pairs can be
    compared, and if the search is not possible (see `unsearchable`).
    """
    if not is_large(len(keys)) or unsearchable(*features.shape):
        return None
    order = np.argsort(keys, kind="stable")
    found, cosines = Index(TakenRows(features, order)).nearest(k)
    indices, similarity = np.empty_like(found), np.empty_like(cosines)
    indices[order], similarity[order] = np.where(found < 0, -1, order[found]), cosines
    return indices, similarity


class Index:
    """An index of features (N, D) of any float type, which are scaled to unit length."""

    def __init__(self, features: Any):
        import faiss

        n, size = features.shape
        cells = max(1, int(CELLS * n**0.5))
        self._faiss, self._features = faiss, features
        with threadpool_limits(1):
            threads = faiss.omp_get_max_threads()
            faiss.omp_set_num_threads(1)
            self._index = faiss.IndexIVFScalarQuantizer(
                faiss.IndexFlatIP(size), size, cells, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
            )
            fitting = self._index.cp
            fitting.niter, fitting.seed, fitting.spherical = ROUNDS, 0, True
            fitting.min_points_per_centroid, fitting.max_points_per_centroid = 1, TRAINED
            some = np.unique(np.linspace(0, n - 1, min(n, TRAINED * cells)).astype(np.int64))
            self._index.train(_unit(features[some]))
            for start in range(0, n, ROWS):
                self._index.add(_unit(features[start : start + ROWS]))
                release(features)
            faiss.omp_set_num_threads(threads)
        self._index.nprobe = min(PROBED, cells)

    def search(self, queries: Any, k: int) -> tuple[Ints, Floats]:
        """Return the k samples most similar to each query (n, D): positions and cosines (n, k), best first.

        Cosines are rounded to six decimals. Among equal cosines, the earlier sample comes first. If the searched cells
        contain fewer than k samples, the missing entries have the position -1 and the cosine -inf.
        """

        def part(start: int) -> tuple[Ints, Floats]:
            self._faiss.omp_set_num_threads(1)  # applies to this thread only; blocks do not depend on the number
            similarity, indices = self._index.search(_unit(queries[start : start + ROWS]), k + SPARE)
            rounded = np.where(indices < 0, -np.inf, np.round(similarity, 6))
            order = np.lexsort((indices, -rounded), axis=1)[:, :k]
            return np.take_along_axis(indices, order, 1), np.take_along_axis(rounded, order, 1)

        with threadpool_limits(1), ThreadPoolExecutor(torch.get_num_threads()) as pool:
            parts = list(pool.map(part, range(0, len(queries), ROWS)))
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    def nearest(self, k: int) -> tuple[Ints, Floats]:
        """Return the k other samples most similar to each sample: positions and cosines (N, k), as in `search`."""
        indices, similarity = self.search(self._features, k + 1)
        own = indices == np.arange(len(indices))[:, None]
        order = np.argsort(own, axis=1, kind="stable")[:, :k]  # the sample itself comes last
        return np.take_along_axis(indices, order, 1), np.take_along_axis(similarity, order, 1)


def _unit(features: Any) -> Floats:
    """Return the features (n, D) in float32, scaled to unit length."""
    part = np.array(features, np.float32)
    return np.asarray(part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), np.finfo(np.float32).tiny))
