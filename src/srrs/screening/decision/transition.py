"""The transition matrix from true class to given label, by collapsed variational expectation-maximization.

With true class k, given label j and evidence p, the model is P(j | k) = T[k, j] and

    posterior   q_i(k) ∝ p_i(k) T⁻ⁱ[k, y_i]
    rate        r_k    = (expected wrong labels of class k + d·η) / (expected images of class k + d)
    target      O[k,j] = (expected labels j of class k + o·S[k,j]) / (expected wrong labels of class k + o)
    matrix      T[k,k] = 1 - r_k,  T[k,j] = r_k O[k,j]

η is the noise rate of all images, and S is uniform over the other classes. d and o are pseudo-counts that draw the
matrix towards uniform noise (`Strength`). T⁻ⁱ is the matrix without the contribution of image i itself (CVB0; Asuncion
et al. 2009). With its own contribution, a hard image of a small class would confirm the mistake that it seems to show.

Raykar et al. (2010) fit the confusion matrices of annotators. The model here is theirs with a fixed classifier and one
annotator; with one label per image it is MBEM (Khetan et al. 2018). Dual-T (Yao et al. 2020), HOC (Zhu et al. 2021) and
VolMinNet (Li et al. 2021) estimate T in other ways.

N images, C classes, K candidate classes per image.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

FLOOR = 1e-12
"""Least denominator and least entry of the matrix."""
ITERATIONS, ITERATIONS_LARGE, LARGE = 30, 12, 2**19
"""Number of iterations, and the number for evidence with at least LARGE entries. With many images, the matrix changes
little after the first iterations."""


@dataclass(frozen=True)
class Strength:
    """How strongly the matrix is drawn towards uniform noise: pseudo-counts, as multiples of the mean class size."""

    rate: float
    """d: draws the noise rate of each class towards the noise rate of all images."""
    target: float
    """o: draws the distribution of the wrong labels of each class towards equal shares of all other classes."""


@dataclass(frozen=True)
class Fit:
    """A fitted matrix, and the values that follow from it."""

    matrix: Floats
    """(C, C) probability of each given label (column) for each true class (row)."""
    rate: float
    """Estimated share of wrong labels."""
    posterior: Floats
    """(N, K) posterior probability of each candidate class."""
    log_likelihoods: Floats
    """(N,) log-likelihood of each given label under the matrix T⁻ⁱ without the image itself."""


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
    """Fit the matrix by CVB0.

    Parameters
    ----------
    evidence : (N, K) evidence p for each candidate class.
    index : (N, K) candidate classes, among them the given class.
    labels : (N,) given labels.
    classes : C.
    strength : strength of the prior towards uniform noise.
    start : first noise rate.
    iterations : number of iterations; by default depending on the size of `evidence` (see `ITERATIONS`).
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
        # M step: the noise rate. `pairs` computes the expected counts of each pair of true class and given label.
        rate = float((n - q[pairs.is_given].sum(dtype=np.float64) + 1) / (n + 2))
        # E step: the posterior of each image, by the matrix without the image itself
        q, total = _normalized(evidence * pairs.without_own(q, rate, pull))
    counts = pairs.counts(q).reshape(classes, classes)
    return Fit(matrix_of(counts, rate, pull), rate, q, np.log(np.maximum(total, 1e-30)))


def matrix_of(counts: Floats, rate: float, pull: Strength) -> Floats:
    """Return the matrix (C, C) of the expected counts (C, C).

    `rate` is the noise rate of all images. `pull` has the pseudo-counts d and o as numbers of images.
    """
    classes = len(counts)
    each = counts.sum(1)
    wrong = np.maximum(each - counts.diagonal(), 0)
    class_rate = (wrong + pull.rate * rate) / (each + pull.rate + FLOOR)
    matrix = class_rate[:, None] * (counts + pull.target / max(classes - 1, 1)) / (wrong + pull.target + FLOOR)[:, None]
    np.fill_diagonal(matrix, 1 - class_rate)
    return np.asarray(matrix)


@dataclass(frozen=True)
class _Pairs:
    """The numbered pairs of candidate class and given label. With many classes, few of the C² pairs occur."""

    index: Ints
    """(N, K) candidate classes."""
    is_given: NDArray[np.bool_]
    """(N, K) whether each candidate is the given label."""
    cell: Ints
    """(N, K) candidate class times C, plus the given label: the entry of the flat matrix (C * C,)."""
    number: Ints
    """(N, K) number of the pair, from 0 to count - 1."""
    count: int
    """Number of pairs."""
    classes: int

    @classmethod
    def of(cls, index: Ints, labels: Ints, classes: int) -> "_Pairs":
        """Number the pairs by their entry of the matrix or, if most entries do not occur, consecutively."""
        cell = index * classes + labels[:, None]
        is_given = np.asarray(index == labels[:, None])
        if classes**2 <= cell.size:
            return cls(index, is_given, cell, cell, classes**2, classes)
        found, number = np.unique(cell, return_inverse=True)
        return cls(index, is_given, cell, number.reshape(cell.shape), len(found), classes)

    def counts(self, q: Floats) -> Floats:
        """Return the expected counts (C * C,) of all entries of the matrix, from the posterior (N, K)."""
        return np.asarray(np.bincount(self.cell.ravel(), q.ravel(), self.classes**2), np.float64)

    def without_own(self, q: Floats, rate: float, pull: Strength) -> Floats:
        """Return T⁻ⁱ[k, y_i] (N, K) for the candidate classes k of each image i, from the posterior q (N, K)."""
        each = np.bincount(self.index.ravel(), q.ravel(), self.classes)
        right = np.bincount(self.index[self.is_given], q[self.is_given], self.classes)
        wrong = np.maximum(each - right, 0).astype(np.float32)
        pair = np.bincount(self.number.ravel(), q.ravel(), self.count).astype(np.float32)
        # expected counts without the image itself: of the pair, of the candidate class, and of its wrong labels
        here = np.maximum(pair[self.number] - q, 0)
        others = np.maximum(each.astype(np.float32)[self.index] - q, 0)
        others_wrong = np.maximum(wrong[self.index] - np.where(self.is_given, 0, q), 0)
        class_rate = (others_wrong + pull.rate * rate) / (others + pull.rate + FLOOR)
        target = (here + pull.target / max(self.classes - 1, 1)) / (others_wrong + pull.target + FLOOR)
        joint = np.where(self.is_given, 1 - class_rate, class_rate * target)
        return np.asarray(np.maximum(joint, FLOOR), np.float32)


def _normalized(joint: Floats) -> tuple[Floats, Floats]:
    """Return the rows of `joint` (N, K) divided by their sums, and the sums (N,)."""
    total = joint.sum(1)
    return joint / np.maximum(total, np.finfo(np.float32).tiny)[:, None], total
