"""Out-of-fold linear discriminant scores: evidence for the true class from the features.

The score of a class is x·W⁻¹m - m·W⁻¹m/2, with the class mean m and the covariance W within classes. Both are computed
from the images of the *other* folds. In m, an image has the weight of its probability of the class. W is mixed with a
multiple of the identity matrix (a sphere). If an image took part in W, its scores would be too low for every class, and
the error would be larger with fewer images. The class means of the other folds do not depend on the label of the image
itself. They are not independent of noise that is systematic in a class, because the other images of the class share the
mistake.

N images, C classes, D feature size, R dimensions of the centered features, K candidate classes per image, F folds.
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
"""The sphere counts as this number of images per dimension in the covariance within classes."""
UNCERTAINTY = 0.5
"""Weight of the uncertainty of a class mean. It is below 1, because the dimensions of a feature are not independent."""
LEAST_VARIANCE = 1e-3
"""Least variance per dimension within classes. The variance of all images is 1. With one image per class, the estimated
variance within classes would be 0."""
LEAST_SHRINK, MOST_SHRINK = 0.5, 20.0
"""Bounds of the ratio by which class means are shrunk (see `discriminant`)."""


@dataclass(frozen=True)
class Centering:
    """The linear map that centers features, scales them to unit variance, and projects very long features.

    After scaling, the mean variance of the dimensions is 1.
    """

    center: Floats
    """(D,) mean of the features."""
    scale: float
    towards: Floats | None
    """(D, R) projection of very long features; None if R is D."""

    def __call__(self, features: Floats) -> Floats:
        """Return the centered features (N, R) of features (N, D), in float32."""
        centered = (np.asarray(features, np.float32) - self.center) * np.float32(self.scale)
        return centered if self.towards is None else np.asarray(centered @ self.towards)


def fit_centering(features: Floats) -> Centering:
    """Fit the map to features (N, D). Constant features are mapped to zeros."""
    features = np.asarray(features, np.float32)
    center = features.mean(0, dtype=np.float64).astype(np.float32)
    variance = float(np.square(features - center).mean(dtype=np.float64))
    return Centering(center, variance**-0.5 if variance > 1e-12 else 0.0, projection(features.shape[1]))


def fold_scatter(centered: Floats, fold: Ints, fold_count: int) -> Floats:
    """Return the scatter (F, R, R) for each fold: the sum of x xᵀ over the features (N, R) of all other folds."""
    each = np.stack([rows.T @ rows for rows in (centered[fold == number] for number in range(fold_count))])
    return np.asarray(each.sum(0) - each)


@dataclass(frozen=True)
class Means:
    """The class means for each fold, computed on all other folds, as coefficients of linear scores."""

    weight: Floats
    """(F, C, R) W⁻¹m."""
    cost: Floats
    """(F, C) half of m·W⁻¹m plus the weighted uncertainty of m; it is subtracted from the score."""


def fold_means(centered: Floats, scatter: Floats, probs: Floats, index: Ints, classes: int, fold: Ints) -> Means:
    """Estimate class means for each fold, from all other folds.

    Parameters
    ----------
    centered : (N, R) centered features.
    scatter : (F, R, R) of `fold_scatter`.
    probs : (N, K) probabilities of the candidate classes.
    index : (N, K) candidate classes.
    classes : C.
    fold : (N,) fold of each image.
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
    """Return the coefficients W⁻¹m (C, R) and the cost (C,) of each class's score.

    The mean of n images is shrunk by the factor n / (n + ratio), where ratio is the variance within classes divided by
    the variance between classes. The uncertainty of the mean is the variance within classes divided by n + ratio (James
    and Stein 1961). Therefore small classes get neither too many nor too few images.

    Parameters
    ----------
    sums : (C, R) sum of the centered features of each class, weighted by the probability of the class.
    counts : (C,) sum of these weights.
    scatter : (R, R) sum of x xᵀ over all images.
    """
    n = max(float(counts.sum()), 1.0)
    # Covariance within classes: the scatter of all images minus that of the class means
    raised = np.asarray(sums / np.sqrt(np.maximum(counts, 1e-6))[:, None], np.float32)
    free = max(n - np.count_nonzero(counts > 0.5), 1.0)
    inverse = _inverse((scatter - raised.T @ raised) / np.float32(free), n)
    # Variances within and between classes, in the metric of W, and the shrunk means
    total = float(np.vdot(inverse, scatter)) / n
    of_means = float(np.vdot(raised @ inverse, raised)) / n
    within = min(max(total - of_means, 0.0) * n / free, total)
    ratio = float(np.clip(within / max(total - within, 1e-12), LEAST_SHRINK, MOST_SHRINK))
    mean = sums / (counts + ratio)[:, None]
    weight = np.asarray(mean @ inverse, np.float32)
    return weight, 0.5 * ((weight * mean).sum(1) + UNCERTAINTY * within / (counts + ratio))


def _inverse(within: Floats, n: float) -> Floats:
    """Return the inverse of the covariance within classes (R, R) of n images, mixed with a sphere of equal variance."""
    size = len(within)
    share = SPHERE * size / (SPHERE * size + n)
    variance = max(float(np.trace(within, dtype=np.float64)) / size, LEAST_VARIANCE)
    mixed = np.float32(1 - share) * within
    mixed[np.diag_indices(size)] += np.float32(share * variance)
    # An inverse from the Cholesky factor takes half the time of `numpy.linalg.inv`
    factor, failed = lapack.spotrf(mixed, lower=True, clean=True, overwrite_a=True)
    if failed:
        raise np.linalg.LinAlgError("The covariance of the features within classes is not positive definite.")
    lower, _ = lapack.spotri(factor, lower=True, overwrite_c=True)  # the upper triangle is 0
    return np.asarray(lower + lower.T - np.diag(lower.diagonal()), np.float32)


def scores(centered: Floats, means: Means, fold: Ints, index: Ints) -> Floats:
    """Return the scores (N, K) of the candidate classes `index` (N, K), from the class means of the other folds.

    If not all classes are candidates, the scores are (N, K + 1), as in `narrowed`.
    """
    classes = means.weight.shape[1]
    found = np.empty((len(index), index.shape[1] + (index.shape[1] < classes)), np.float32)
    for number, (weight, cost) in enumerate(zip(means.weight, means.cost, strict=True)):
        rows = np.flatnonzero(fold == number)
        if len(rows):
            found[rows] = narrowed(centered[rows] @ weight.T - cost, index[rows])
    return found


def spread(probs: Floats, index: Ints, classes: int) -> "Floats | csr_matrix":
    """Return the probabilities (N, K) of the candidate classes `index` (N, K) as an array or sparse matrix (N, C)."""
    if probs.shape[1] == classes:
        return probs
    n, k = probs.shape
    return csr_matrix((probs.ravel(), index.ravel(), np.arange(0, n * k + 1, k)), shape=(n, classes))
