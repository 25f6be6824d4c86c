"""A transition matrix from the true class to the given label, fitted by expectation maximization.

A frozen model was not trained on the given labels. Therefore, given the true class, its predictions are independent of
the label noise. With true class y*, given label y, evidence p and transition matrix T[k, j] = P(y = j | y* = k):

    E step   posterior   q_i(k) ∝ p_i(k) T[k, y_i]
    M step   rate        η = (Σ_i (1 − q_i(y_i)) + a) / (N + a + b)
             transition  T[k, j] = (Σ_i q_i(k) [y_i = j] + λ S[k, j]) / (Σ_i q_i(k) + λ)

S is the symmetric matrix with the noise rate η. T is shrunk towards S with the weight λ. (a, b) are pseudo-counts of
wrong and right labels. Dawid and Skene (1979) fit the confusion matrices of annotators by EM. Raykar et al. (2010) fit
the confusion matrices together with a classifier, which is fixed here. MBEM (Khetan et al. 2018) is the case of one
label per sample. N samples, C classes.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from srrs.core.labels import one_hot
from srrs.records import Floats, Ints

ITERATIONS = 50
"""Number of EM iterations."""


@dataclass(frozen=True)
class Transition:
    """A fitted transition matrix, the noise rate and the posterior of the true class."""

    matrix: Floats
    """(C, C) probability of each given label (column) for each true class (row)."""
    rate: float
    """Estimated share of wrong labels."""
    posterior: Floats
    """(N, C) probability of each true class."""


def symmetric(classes: int, rate: float) -> Floats:
    """Return the matrix (C, C) of symmetric noise: with probability `rate`, a label is a random other class."""
    matrix = np.full((classes, classes), rate / (classes - 1))
    np.fill_diagonal(matrix, 1 - rate)
    return matrix


def posterior(log_evidence: Floats, labels: Ints, matrix: Floats) -> Floats:
    """Return the posterior (N, C) of the true class by Bayes' rule, from the log evidence (N, C) and T (C, C)."""
    q: Floats = softmax(log_evidence + np.log(matrix[:, labels].T + 1e-12), axis=1)
    return q


def fit_transition(
    log_evidence: Floats,
    labels: Ints,
    *,
    shrink: float = 12.0,
    prior: tuple[float, float] = (1.0, 1.0),
    start: float = 0.3,
    iterations: int = ITERATIONS,
) -> Transition:
    """Fit the transition matrix by EM to evidence for the true class and to given labels.

    Parameters
    ----------
    log_evidence : (N, C) log-probabilities of each true class.
    labels : (N,) given labels.
    shrink : λ, the pseudo-count of each true class by which its row is shrunk toward the symmetric matrix.
    prior : pseudo-counts of wrong and of right labels for the noise rate.
    start : noise rate of the symmetric matrix from which EM starts.
    iterations : number of EM iterations.
    """
    n, c = log_evidence.shape
    matrix, rate = symmetric(c, start), start
    given = one_hot(labels, c)
    for _ in range(iterations):
        # E step: posterior of the true class
        q = posterior(log_evidence, labels, matrix)
        # M step: the rate, then the matrix, shrunk towards the symmetric matrix of that rate
        wrong = n - q[np.arange(n), labels].sum()
        rate = float((wrong + prior[0]) / (n + prior[0] + prior[1]))
        counts = q.T @ given
        matrix = (counts + shrink * symmetric(c, rate)) / (counts.sum(1, keepdims=True) + shrink)
    return Transition(matrix, rate, posterior(log_evidence, labels, matrix))
