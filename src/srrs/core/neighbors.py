"""Exact nearest neighbors by cosine, in chunks that bound the memory. N samples, D feature size."""

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]


def nearest(features: Floats, k: int, chunk: int = 512) -> tuple[Ints, Floats]:
    """Return the k most similar other samples of features (N, D): positions (N, k) and cosine similarities (N, k).

    The best sample comes first. Similarities are rounded to six decimals. Among equal similarities, the earlier sample
    comes first. Therefore ties depend neither on the chunk size nor on the threads. Sort the samples by id if their
    order must not matter. `chunk * N` similarities are in memory at a time. The features may have any float type and
    any length. A zero vector has the similarity 0 to all others. Raises ValueError unless 1 <= k < N and all features
    are finite.
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
    """Return the result of `nearest`, with ties broken in the given `order` (N,) of positions; None for 0 to N - 1."""
    if order is None:
        return nearest(features, k)
    found, cosines = nearest(features[order], k)
    indices, similarity = np.empty_like(found), np.empty_like(cosines)
    indices[order], similarity[order] = order[found], cosines
    return indices, similarity


def label_agreement(features: Floats, labels: Ints, k: int, chunk: int = 512) -> Floats:
    """Return the share (N,) of the k nearest samples that have the same label as the sample.

    `features` are (N, D), and `labels` (N,). With fewer than k other samples, all others are used. For a single sample,
    the result is NaN.
    """
    n = len(features)
    if n < 2:
        return np.full(n, np.nan)
    labels = np.asarray(labels)
    indices, _ = nearest(features, min(k, n - 1), chunk)
    return np.asarray((labels[indices] == labels[:, None]).mean(1))


SPARE = 8
"""Number of additional candidates besides the k best ones, by which ties after rounding are found."""


def _best(found: Floats, k: int) -> Ints:
    """Return the columns of the k largest entries of each row, in order; equal entries are sorted by column."""
    width = min(k + SPARE, found.shape[1])
    values, columns = (part.numpy() for part in torch.topk(torch.from_numpy(found), width, dim=1))
    order = np.lexsort((columns, -values), axis=1)
    best = np.take_along_axis(columns, order, 1)[:, :k]
    # More entries than the spare ones may be equal to the k-th: such rows are sorted completely.
    tied = np.flatnonzero(values[:, -1] == values[:, k - 1]) if width < found.shape[1] else ()
    for row in tied:
        best[row] = np.argsort(-found[row], kind="stable")[:k]
    return np.asarray(best, np.int64)
