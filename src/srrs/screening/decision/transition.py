"""The transition matrix from true class to given label, by collapsed variational expectation-maximization.

With true class k, given label j and evidence p, the model is P(j | k) = T[k, j] and

    posterior   q_i(k) ∝ p_i(k) T⁻ⁱ[k, y_i]
    rate        r_k    = (expected wrong labels of class k + d·η) / (expected images of class k + d)
    target      O[k,j] = (expected labels j of class k + o·S[k,j]) / (expected wrong labels of class k + o)
    matrix      T[k,k] = 1 - r_k,  T[k,j] = r_k O[k,j]

with the noise rate η of all images and S uniform. T⁻ⁱ is the matrix without the contribution of image i itself (CVB0;
Asuncion et al. 2009): without that, one hard image of a small class confirms its own mistake. A fixed classifier times
the confusion matrix of one annotator is Raykar et al. (2010); with one label per image, MBEM (Khetan et al. 2018).
Dual-T (Yao et al. 2020), HOC (Zhu et al. 2021) and VolMinNet (Li et al. 2021) estimate T otherwise.

N images, C classes, K candidate classes per image.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

FLOOR = 1e-12
ITERATIONS, ITERATIONS_LARGE, LARGE = 30, 12, 2**19
"""Iterations, and those for at least so many entries of evidence: with many images the start is nearly the end."""


@dataclass(frozen=True)
class Strength:
    """How strongly the matrix is drawn towards uniform noise, in multiples of the images per class."""

    rate: float
    """Of each class's rate, towards the rate of all."""
    target: float
    """Of where the wrong labels of a class go, towards every other class alike."""


@dataclass(frozen=True)
class Fit:
    """A fitted matrix and what follows from it."""

    matrix: Floats
    """(C, C) probability of each given label (column) for each true class (row)."""
    rate: float
    """Estimated share of wrong labels."""
    posterior: Floats
    """(N, K) probability of each candidate class."""
    log_likelihoods: Floats
    """(N,) of each given label, predicted without its own contribution to the matrix."""


def fit_matrix(
    evidence: Floats,
    index: Ints,
    labels: Ints,
    classes: int,
    strength: Strength,
    *,
    start: float,
    iterations: int | None = None,
) -> Fit:
    """Fit the matrix to evidence (N, K) for the candidate classes `index` (N, K), and to the given labels (N,).

    `start` is the first guess of the noise rate; `iterations` by default depend on the size.
    """
    n, other = len(labels), max(classes - 1, 1)
    rate = start
    counts: Floats = np.zeros((classes, classes))
    is_given = index == labels[:, None]
    cell = index * classes + labels[:, None]
    q = _normalized(evidence * np.where(is_given, 1 - rate, rate / other).astype(np.float32))[0]
    total: Floats = np.ones(n)
    pull = Strength(strength.rate * n / classes, strength.target * n / classes)
    if iterations is None:
        iterations = ITERATIONS if evidence.size < LARGE else ITERATIONS_LARGE
    for _ in range(iterations):
        # M step: expected counts of each pair of true class and given label
        pairs = np.bincount(cell.ravel(), weights=q.ravel(), minlength=classes**2)
        counts = np.asarray(pairs, np.float64).reshape(classes, classes)
        rate = float((n - np.trace(counts) + 1) / (n + 2))
        # E step: each posterior by a matrix that its own image had no part in
        q, total = _normalized(evidence * _without_own(counts, q, index, labels, cell, is_given, rate, pull))
    return Fit(matrix_of(counts, rate, pull), rate, q, np.log(np.maximum(total, 1e-30)))


def matrix_of(counts: Floats, rate: float, pull: Strength) -> Floats:
    """Return the matrix (C, C) of expected counts (C, C); `pull` in images."""
    classes = len(counts)
    each = counts.sum(1)
    wrong = np.maximum(each - counts.diagonal(), 0)
    class_rate = (wrong + pull.rate * rate) / (each + pull.rate + FLOOR)
    matrix = class_rate[:, None] * (counts + pull.target / max(classes - 1, 1)) / (wrong + pull.target + FLOOR)[:, None]
    np.fill_diagonal(matrix, 1 - class_rate)
    return np.asarray(matrix)


def _without_own(
    counts: Floats, q: Floats, index: Ints, labels: Ints, cell: Ints, is_given: Floats, rate: float, pull: Strength
) -> Floats:
    """Return T⁻ⁱ[k, y_i] (N, K) for the candidate classes k of each image i."""
    each = counts.sum(1).astype(np.float32)
    wrong = np.maximum(each - counts.diagonal(), 0).astype(np.float32)
    here = np.maximum(counts.ravel().astype(np.float32)[cell] - q, 0)
    others, others_wrong = np.maximum(each[index] - q, 0), np.maximum(wrong[index] - np.where(is_given, 0, q), 0)
    class_rate = (others_wrong + pull.rate * rate) / (others + pull.rate + FLOOR)
    target = (here + pull.target / max(len(counts) - 1, 1)) / (others_wrong + pull.target + FLOOR)
    return np.asarray(np.maximum(np.where(is_given, 1 - class_rate, class_rate * target), FLOOR), np.float32)


def _normalized(joint: Floats) -> tuple[Floats, Floats]:
    """Rows of joint (N, K) divided by their sums, and the sums (N,)."""
    total = joint.sum(1)
    return joint / np.maximum(total, np.finfo(np.float32).tiny)[:, None], total
