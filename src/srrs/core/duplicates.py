"""Near-duplicate images, found by features and by pixels, in blocks of rows that bound the memory.

N and M samples, D feature size, P pixels.
"""

import numpy as np
from numpy.typing import NDArray

from srrs.core.blocks import blocks

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

COSINE = 0.95
"""Least cosine of the features of near-duplicates."""
ALIKE = 0.97
"""Least correlation of the small gray images of near-duplicates. Two different images of Caltech101 hardly ever reach
both this correlation and the cosine."""


def near_among(features: Floats, looks: Floats, neighbors: Ints) -> Ints:
    """Return the position (N,) of the first near-duplicate of each sample among its neighbors; -1 for none.

    `neighbors` (N, k) are positions, the most similar one first; -1 for a missing neighbor. See `near_duplicates` for
    the other arguments.
    """
    found = np.full(len(features), -1, dtype=np.int64)
    for rows in blocks(len(features)):
        near = neighbors[rows]
        mine, theirs = np.asarray(features[rows], np.float32), np.asarray(features[near.ravel()], np.float32)
        similar = np.einsum("nd,nkd->nk", mine, theirs.reshape(*near.shape, -1)) >= COSINE
        alike = np.einsum("np,nkp->nk", looks[rows], looks[near]) >= ALIKE
        both = similar & alike & (near >= 0)
        found[rows] = np.where(both.any(1), np.take_along_axis(near, both.argmax(1)[:, None], 1)[:, 0], -1)
    return found


def near_duplicates(
    features: Floats, looks: Floats, others: Floats, other_looks: Floats, own: Ints, *, chunk: int = 512
) -> Ints:
    """Return the position (N,) of the most similar near-duplicate of each sample among `others`; -1 for none.

    The work grows with N * M. Similarities are rounded. Among equal similarities, the earlier position is returned.
    Sort `others` by id if their order must not matter.

    Parameters
    ----------
    features, others : (N, D) and (M, D), of unit length.
    looks, other_looks : (N, P) and (M, P) small gray images, centered, of unit length. A zero row has no
        near-duplicate.
    own : (N,) position of each sample among the others; -1 if the sample is not one of them.
    chunk : number of samples that are compared at a time. `chunk * M` similarities are in memory.
    """
    features, others = np.asarray(features, np.float32), np.asarray(others, np.float32)
    found = np.full(len(features), -1, dtype=np.int64)
    for start in range(0, len(features) if len(others) else 0, chunk):
        rows = np.arange(start, min(start + chunk, len(features)))
        similar = np.round(features[rows] @ others.T, 5)
        similar[looks[rows] @ other_looks.T < ALIKE] = -np.inf
        inside = own[rows] >= 0
        similar[np.flatnonzero(inside), own[rows][inside]] = -np.inf
        best = similar.argmax(1)
        near = similar[np.arange(len(rows)), best] >= COSINE
        found[rows[near]] = best[near]
    return found
