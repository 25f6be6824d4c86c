"""Out-of-fold linear discriminant scores: what the images alone say about the class.

Features are whitened once, by half of their covariance and half of a sphere of the same mean variance. A class score is
then x·m - |m|²/2 with the class mean m of the *other* folds' images, weighted by the probability of each class. The
means of other folds never saw the label of the image itself. They do share every mistake that is systematic in a class:
they are not independent of systematic noise.

N images, C classes, D feature size, K candidate classes per image, F folds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

SPHERE = 0.5
"""Share of the sphere in the covariance that features are whitened by."""
CENTER_COUNT = 1.0
"""Images at the center of all features that are added to each class: a class nobody shows lies there."""


@dataclass(frozen=True)
class Whitening:
    """The linear map that turns features into whitened ones."""

    center: Floats
    """(D,)"""
    matrix: Floats
    """(D, R) for the R directions in which the features vary."""

    def __call__(self, features: Floats) -> Floats:
        """Return whitened features (N, R) as float32."""
        centered = np.asarray(features, np.float32) - self.center
        return np.asarray(centered @ self.matrix)


def fit_whitening(features: Floats) -> Whitening:
    """Fit the whitening to features (N, D); constant features give a map to zeros."""
    features = np.asarray(features, np.float32)
    center = features.mean(0, dtype=np.float64).astype(np.float32)
    centered = features - center
    covariance = np.asarray(centered.T @ centered, np.float64) / len(features)
    variance = np.trace(covariance) / len(covariance)
    if variance <= 1e-12:
        return Whitening(center, np.zeros((features.shape[1], 1), np.float32))
    mixed = (1 - SPHERE) * covariance + SPHERE * variance * np.eye(len(covariance))
    values, vectors = np.linalg.eigh(mixed)
    return Whitening(center, np.asarray(vectors / np.sqrt(values), np.float32))


def fold_means(white: Floats, probs: Floats, index: Ints, classes: int, fold: Ints, fold_count: int) -> Floats:
    """Return class means (F, C, R), each fold's from the images of all other folds.

    `probs` (N, K) are the probabilities of the candidate classes `index` (N, K).
    """
    sums = np.zeros((fold_count, classes, white.shape[1]), np.float32)
    weights = np.zeros((fold_count, classes))
    for number in range(fold_count):
        rows = np.flatnonzero(fold == number)
        if len(rows):
            belongs = spread(probs[rows], index[rows], classes)
            sums[number] = belongs.T @ white[rows]
            weights[number] = np.asarray(belongs.sum(0)).ravel()
    others, count = sums.sum(0) - sums, weights.sum(0) - weights
    return np.asarray(others / (count + CENTER_COUNT)[:, :, None], np.float32)


def scores(white: Floats, means: Floats, fold: Ints, index: Ints) -> Floats:
    """Return discriminant scores (N, K) of the candidate classes, from the means (F, C, R) of other folds."""
    found = np.empty(index.shape, np.float32)
    for number, of_others in enumerate(means):
        rows = np.flatnonzero(fold == number)
        if len(rows):
            every = white[rows] @ of_others.T - 0.5 * (of_others**2).sum(1)
            found[rows] = np.take_along_axis(every, index[rows], axis=1)
    return found


def spread(probs: Floats, index: Ints, classes: int) -> "Floats | csr_matrix":
    """Return candidate probabilities (N, K) as an array or sparse matrix (N, C)."""
    if probs.shape[1] == classes:
        return probs
    n, k = probs.shape
    return csr_matrix((probs.ravel(), index.ravel(), np.arange(0, n * k + 1, k)), shape=(n, classes))
