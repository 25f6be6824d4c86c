"""Out-of-fold linear discriminant scores: what the images alone say about the class.

A class score is x·W⁻¹m - m·W⁻¹m/2, with the class mean m and the covariance W within classes. Both come from images of
the *other* folds, weighted by the probability of each class, and W is mixed with a sphere. An image that took part in W
would lie far from every class, the more so the fewer images there are. The means of other folds never saw the label of
the image itself. They do share every mistake that is systematic in a class: they are not independent of such noise.

N images, C classes, D feature size, R directions, K candidate classes per image, F folds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.sparse import csr_matrix

from srrs.core.projection import projection
from srrs.screening.decision.evidence import narrowed

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

SPHERE = 3.0
"""Images per direction that the sphere counts for in the covariance within classes."""
UNCERTAINTY = 0.5
"""Weight of the uncertainty of a class mean: half, as the directions of a feature are far from independent."""
LEAST_VARIANCE = 1e-3
"""Least mean variance within classes, where that of all images is 1: one image per class shows no variance."""
LEAST_SHRINK, MOST_SHRINK = 0.5, 20.0
"""Bounds of the images at the center that are added to each class."""


@dataclass(frozen=True)
class Centering:
    """The linear map that centers features, scales them to unit variance, and shortens very long ones."""

    center: Floats
    """(D,)"""
    scale: float
    towards: Floats | None
    """(D, R) projection of very long features."""

    def __call__(self, features: Floats) -> Floats:
        """Return centered features (N, R) as float32."""
        centered = (np.asarray(features, np.float32) - self.center) * np.float32(self.scale)
        return centered if self.towards is None else np.asarray(centered @ self.towards)


def fit_centering(features: Floats) -> Centering:
    """Fit the map to features (N, D); constant features give a map to zeros."""
    features = np.asarray(features, np.float32)
    center = features.mean(0, dtype=np.float64).astype(np.float32)
    variance = float(np.square(features - center).mean(dtype=np.float64))
    return Centering(center, variance**-0.5 if variance > 1e-12 else 0.0, projection(features.shape[1]))


def fold_scatter(centered: Floats, fold: Ints, fold_count: int) -> Floats:
    """Return the scatter (F, R, R), the sum of x xᵀ, of the centered features (N, R) of all folds but one."""
    each = np.stack([rows.T @ rows for rows in (centered[fold == number] for number in range(fold_count))])
    return np.asarray(each.sum(0) - each)


@dataclass(frozen=True)
class Means:
    """The class means of other folds, as coefficients of a linear score."""

    weight: Floats
    """(F, C, R) W⁻¹m"""
    cost: Floats
    """(F, C) half the expected m·W⁻¹m: that of the estimate and its uncertainty."""


def fold_means(centered: Floats, scatter: Floats, probs: Floats, index: Ints, classes: int, fold: Ints) -> Means:
    """Estimate class means for each fold.

    `scatter` is that of the other folds (`fold_scatter`), and `probs` (N, K) are the probabilities of the candidate
    classes `index` (N, K).
    """
    folds, size = len(scatter), centered.shape[1]
    sums = np.zeros((folds, classes, size), np.float32)
    counts = np.zeros((folds, classes))
    for number in range(folds):
        rows = np.flatnonzero(fold == number)
        if len(rows):
            belongs = spread(probs[rows], index[rows], classes)
            sums[number] = belongs.T @ centered[rows]
            counts[number] = np.asarray(belongs.sum(0)).ravel()
    weight, cost = np.empty_like(sums), np.empty((folds, classes), np.float32)
    for number in range(folds):
        others = (sums.sum(0) - sums[number], counts.sum(0) - counts[number], scatter[number])
        weight[number], cost[number] = discriminant(*others)
    return Means(weight, cost)


def discriminant(sums: Floats, counts: Floats, scatter: Floats) -> tuple[Floats, Floats]:
    """Return the coefficients (C, R) and the cost (C,) of each class's score.

    `sums` (C, R) and `counts` (C,) are the weighted sums of features and the weights of the classes, and `scatter`
    (R, R) is the sum of x xᵀ over all images. A mean of n images is shrunk by n / (n + ratio), where ratio is the
    variance within classes over the variance between them, and its uncertainty is the variance within classes over
    n + ratio (James and Stein 1961). So small classes neither attract nor lose images.
    """
    n = max(float(counts.sum()), 1.0)
    raised = np.asarray(sums / np.sqrt(np.maximum(counts, 1e-6))[:, None], np.float32)
    free = max(n - np.count_nonzero(counts > 0.5), 1.0)
    inverse = _inverse((scatter - raised.T @ raised) / np.float32(free), n)
    total = float(np.vdot(inverse, scatter)) / n
    of_means = float(np.vdot(raised @ inverse, raised)) / n
    within = min(max(total - of_means, 0.0) * n / free, total)
    ratio = float(np.clip(within / max(total - within, 1e-12), LEAST_SHRINK, MOST_SHRINK))
    mean = sums / (counts + ratio)[:, None]
    weight = np.asarray(mean @ inverse, np.float32)
    return weight, 0.5 * ((weight * mean).sum(1) + UNCERTAINTY * within / (counts + ratio))


def _inverse(within: Floats, n: float) -> Floats:
    """Return the inverse of the covariance within classes (R, R) of n images, mixed with a sphere of its variance."""
    size = len(within)
    share = SPHERE * size / (SPHERE * size + n)
    variance = max(float(np.trace(within, dtype=np.float64)) / size, LEAST_VARIANCE)
    mixed = np.float32(1 - share) * within
    mixed[np.diag_indices(size)] += np.float32(share * variance)
    # Cholesky's half of an inverse costs half of `numpy.linalg.inv`
    factor, failed = lapack.spotrf(mixed, lower=True, clean=True, overwrite_a=True)
    if failed:
        raise np.linalg.LinAlgError("The covariance of the features within classes is not positive definite.")
    lower, _ = lapack.spotri(factor, lower=True, overwrite_c=True)  # the other half is 0
    return np.asarray(lower + lower.T - np.diag(lower.diagonal()), np.float32)


def scores(centered: Floats, means: Means, fold: Ints, index: Ints) -> Floats:
    """Return discriminant scores of the candidate classes as `narrowed` does, from the means of other folds."""
    classes = means.weight.shape[1]
    found = np.empty((len(index), index.shape[1] + (index.shape[1] < classes)), np.float32)
    for number, (weight, cost) in enumerate(zip(means.weight, means.cost, strict=True)):
        rows = np.flatnonzero(fold == number)
        if len(rows):
            found[rows] = narrowed(centered[rows] @ weight.T - cost, index[rows])
    return found


def spread(probs: Floats, index: Ints, classes: int) -> "Floats | csr_matrix":
    """Return candidate probabilities (N, K) as an array or sparse matrix (N, C)."""
    if probs.shape[1] == classes:
        return probs
    n, k = probs.shape
    return csr_matrix((probs.ravel(), index.ravel(), np.arange(0, n * k + 1, k)), shape=(n, classes))
