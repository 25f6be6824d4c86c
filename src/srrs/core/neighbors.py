"""Exact nearest neighbors by cosine, in chunks that bound the memory. N samples, D feature size."""

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]


def nearest(features: Floats, k: int, chunk: int = 512) -> tuple[Ints, Floats]:
    """Return the k most similar other samples of features (N, D): indices (N, k) and cosine similarities (N, k).

    Best first. Similarities are rounded to six decimals, and among equal ones the earlier sample comes first, so that
    neither the chunk size nor the threads decide ties; sort samples by id where the order of rows must not either.
    Holds `chunk * N` similarities at a time. Features of any float type and length; a zero vector is similar to none.
    Raises ValueError unless 1 <= k < N and all features are finite.
    """
    n = len(features)
    if not 1 <= k < n:
        raise ValueError(f"Expected k from 1 to {n - 1} (one less than the samples), but got {k}")
    unit = np.array(features, np.float32)
    if not np.isfinite(unit).all():
        raise ValueError("Expected finite features, but some are not")
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    indices, similarity = np.empty((n, k), np.int64), np.empty((n, k), np.float32)
    for start in range(0, n, chunk):
        rows = np.arange(start, min(start + chunk, n))
        found = np.round(unit[rows] @ unit.T, 6)
        found[rows - start, rows] = -np.inf
        indices[rows] = _best(found, k)
        similarity[rows] = np.take_along_axis(found, indices[rows], 1)
    return indices, similarity


def nearest_in_order(features: Floats, k: int, order: Ints | None) -> tuple[Ints, Floats]:
    """Return what `nearest` returns, with ties broken in the given `order` (N,) of the samples; None: by row."""
    if order is None:
        return nearest(features, k)
    found, cosines = nearest(features[order], k)
    indices, similarity = np.empty_like(found), np.empty_like(cosines)
    indices[order], similarity[order] = order[found], cosines
    return indices, similarity


def label_agreement(features: Floats, labels: Ints, k: int, chunk: int = 512) -> Floats:
    """Return the share (N,) of the k nearest samples with the same label; all others count where there are fewer.

    NaN for a single sample, which has no neighbor.
    """
    n = len(features)
    if n < 2:
        return np.full(n, np.nan)
    labels = np.asarray(labels)
    indices, _ = nearest(features, min(k, n - 1), chunk)
    return np.asarray((labels[indices] == labels[:, None]).mean(1))


SPARE = 8
"""Candidates beyond the k best, by which ties after rounding are noticed."""


def _best(found: Floats, k: int) -> Ints:
    """Return the columns of the k largest entries of each row, in order; equal entries are sorted by column."""
    width = min(k + SPARE, found.shape[1])
    values, columns = (part.numpy() for part in torch.topk(torch.from_numpy(found), width, dim=1))
    order = np.lexsort((columns, -values), axis=1)
    best = np.take_along_axis(columns, order, 1)[:, :k]
    # More entries than the spare ones may tie with the k-th: those rows are searched whole.
    tied = np.flatnonzero(values[:, -1] == values[:, k - 1]) if width < found.shape[1] else ()
    for row in tied:
        best[row] = np.argsort(-found[row], kind="stable")[:k]
    return np.asarray(best, np.int64)
