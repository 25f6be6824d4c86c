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
    pairs = _Pairs.of(index, labels, classes)
    q = _normalized(evidence * np.where(pairs.is_given, 1 - rate, rate / other).astype(np.float32))[0]
    total: Floats = np.ones(n)
    pull = Strength(strength.rate * n / classes, strength.target * n / classes)
    if iterations is None:
        iterations = ITERATIONS if evidence.size < LARGE else ITERATIONS_LARGE
    for _ in range(iterations):
        # M step: the noise rate; the expected counts of each pair of true class and given label are in `pairs`
        rate = float((n - q[pairs.is_given].sum(dtype=np.float64) + 1) / (n + 2))
        # E step: each posterior by a matrix that its own image had no part in
        q, total = _normalized(evidence * pairs.without_own(q, rate, pull))
    counts = pairs.counts(q).reshape(classes, classes)
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


@dataclass(frozen=True)
class _Pairs:
    """The pairs of candidate class and given label that occur, numbered: few of C² where there are many classes."""

    index: Ints
    """(N, K) candidate classes."""
    is_given: NDArray[np.bool_]
    """(N, K)"""
    cell: Ints
    """(N, K) candidate class times C, plus the given label."""
    number: Ints
    """(N, K) number of the pair."""
    count: int
    """How many pairs there are."""
    classes: int

    @classmethod
    def of(cls, index: Ints, labels: Ints, classes: int) -> "_Pairs":
        """Number the pairs: by their cell of the matrix, or, where most cells are empty, one after the other."""
        cell = index * classes + labels[:, None]
        is_given = np.asarray(index == labels[:, None])
        if classes**2 <= cell.size:
            return cls(index, is_given, cell, cell, classes**2, classes)
        found, number = np.unique(cell, return_inverse=True)
        return cls(index, is_given, cell, number.reshape(cell.shape), len(found), classes)

    def counts(self, q: Floats) -> Floats:
        """Return the expected counts (C * C,) of all pairs, from the posterior (N, K)."""
        return np.asarray(np.bincount(self.cell.ravel(), q.ravel(), self.classes**2), np.float64)

    def without_own(self, q: Floats, rate: float, pull: Strength) -> Floats:
        """Return T⁻ⁱ[k, y_i] (N, K) for the candidate classes k of each image i."""
        each = np.bincount(self.index.ravel(), q.ravel(), self.classes)
        right = np.bincount(self.index[self.is_given], q[self.is_given], self.classes)
        wrong = np.maximum(each - right, 0).astype(np.float32)
        pair = np.bincount(self.number.ravel(), q.ravel(), self.count).astype(np.float32)
        # expected counts of the candidate class, of its wrong labels and of the pair, without the image itself
        here = np.maximum(pair[self.number] - q, 0)
        others = np.maximum(each.astype(np.float32)[self.index] - q, 0)
        others_wrong = np.maximum(wrong[self.index] - np.where(self.is_given, 0, q), 0)
        class_rate = (others_wrong + pull.rate * rate) / (others + pull.rate + FLOOR)
        target = (here + pull.target / max(self.classes - 1, 1)) / (others_wrong + pull.target + FLOOR)
        joint = np.where(self.is_given, 1 - class_rate, class_rate * target)
        return np.asarray(np.maximum(joint, FLOOR), np.float32)


def _normalized(joint: Floats) -> tuple[Floats, Floats]:
    """Rows of joint (N, K) divided by their sums, and the sums (N,)."""
    total = joint.sum(1)
    return joint / np.maximum(total, np.finfo(np.float32).tiny)[:, None], total
