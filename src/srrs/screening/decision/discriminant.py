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

from srrs.core.projection import projection
from srrs.screening.decision.evidence import narrowed

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

SPHERE = 0.5
"""Share of the sphere in the covariance that features are whitened by."""
CENTER_COUNT = 1.0
"""Images at the center of all features that are added to each class where nothing better is known."""
UNCERTAINTY = 0.25
"""Weight of the uncertainty of a class mean: a quarter, as the directions of a feature are far from independent."""
LEAST_SHRINK, MOST_SHRINK = 0.5, 20.0
"""Bounds of the images at the center that are added to each class."""


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
    """Fit the whitening to features (N, D); constant features give a map to zeros.

    Very long features are projected first: see `srrs.core.projection`.
    """
    features = np.asarray(features, np.float32)
    center = features.mean(0, dtype=np.float64).astype(np.float32)
    centered, towards = features - center, projection(features.shape[1])
    if towards is not None:
        centered = centered @ towards
    covariance = np.asarray(centered.T @ centered, np.float64) / len(features)
    variance = np.trace(covariance) / len(covariance)
    if variance <= 1e-12:
        return Whitening(center, np.zeros((features.shape[1], 1), np.float32))
    mixed = (1 - SPHERE) * covariance + SPHERE * variance * np.eye(len(covariance))
    values, vectors = np.linalg.eigh(mixed)
    matrix = np.asarray(vectors / np.sqrt(values), np.float32)
    return Whitening(center, matrix if towards is None else towards @ matrix)


@dataclass(frozen=True)
class Means:
    """Class means of whitened features, as each fold sees them: from the images of all other folds."""

    mean: Floats
    """(F, C, R)"""
    cost: Floats
    """(F, C) half the expected squared length of the mean: that of the estimate and its uncertainty."""


def fold_means(white: Floats, probs: Floats, index: Ints, classes: int, fold: Ints, fold_count: int) -> Means:
    """Estimate class means for each fold; `probs` (N, K) are the probabilities of the candidate classes `index` (N, K).

    A mean of n images is shrunk to the center by n / (n + ratio), with the ratio of the variances within and between
    classes, and is uncertain by the variance within over n + ratio (James and Stein 1961). So classes of few images
    neither attract nor lose images because they are few.
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
    within, ratio = variances(white, sums.sum(0), weights.sum(0))
    mean = np.asarray(others / (count + ratio)[:, :, None], np.float32)
    return Means(mean, np.asarray(0.5 * ((mean**2).sum(2) + UNCERTAINTY * within / (count + ratio)), np.float32))


def variances(white: Floats, sums: Floats, weights: Floats) -> tuple[float, float]:
    """Return the variance within classes (summed over directions) and its ratio to the variance between class means.

    `sums` (C, R) and `weights` (C,) are the weighted sums of whitened features (N, R) and the weights of the classes.
    """
    total = float(np.einsum("nr,nr->", white, white, dtype=np.float64)) / len(white)
    of_means = float(((sums**2).sum(1, dtype=np.float64) / np.maximum(weights, 1e-6)).sum()) / len(white)
    free = max(1 - np.count_nonzero(weights > 0.5) / len(white), 1e-6)
    within = min(max(total - of_means, 0.0) / free, total)
    between = max(total - within, 1e-12)
    return within, float(np.clip(within / between, LEAST_SHRINK, MOST_SHRINK))


def scores(white: Floats, means: Means, fold: Ints, index: Ints) -> Floats:
    """Return discriminant scores of the candidate classes as `narrowed` does, from the means of other folds."""
    classes = means.mean.shape[1]
    found = np.empty((len(index), index.shape[1] + (index.shape[1] < classes)), np.float32)
    for number, (mean, cost) in enumerate(zip(means.mean, means.cost, strict=True)):
        rows = np.flatnonzero(fold == number)
        if len(rows):
            found[rows] = narrowed(white[rows] @ mean.T - cost, index[rows])
    return found


def spread(probs: Floats, index: Ints, classes: int) -> "Floats | csr_matrix":
    """Return candidate probabilities (N, K) as an array or sparse matrix (N, C)."""
    if probs.shape[1] == classes:
        return probs
    n, k = probs.shape
    return csr_matrix((probs.ravel(), index.ravel(), np.arange(0, n * k + 1, k)), shape=(n, classes))
