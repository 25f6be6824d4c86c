"""Near-duplicate images, by features and by pixels, in blocks of rows so that memory stays bounded."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

COSINE = 0.95
"""Least cosine of the features of near-duplicates."""
ALIKE = 0.97
"""Least correlation of their small gray images. Two different images of Caltech101 hardly ever reach both."""


def near_duplicates(
    features: Floats, looks: Floats, others: Floats, other_looks: Floats, own: Ints, *, chunk: int = 512
) -> Ints:
    """Return the most similar near-duplicate (N,) of each sample among `others`; -1 for none.

    Parameters
    ----------
    features, others : (N, D) and (M, D), of unit length.
    looks, other_looks : (N, P) and (M, P) small gray images, centered, of unit length; a zero row is similar to none.
    own : (N,) row of each sample among the others, -1 if it is not one of them.
    chunk : samples at a time: `chunk * M` similarities are held. The work grows with N * M.

    Similarities are rounded; among equal ones the earlier wins. Sort by id where the order of rows must not decide.
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
