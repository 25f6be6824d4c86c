"""Rules that the new decision is compared with: the former default and the best single rules.

Each returns scores (N,), low where a label is probably wrong.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]


def given_margin(log_probs: Floats, given: Ints) -> Floats:
    """Log-probability of the given class less that of the best other class."""
    rows = np.arange(len(given))
    other = np.array(log_probs)
    other[rows, given] = -np.inf
    return np.asarray(log_probs[rows, given] - other.max(1))


def zero_shot_margin(zero_shot: Floats, given: Ints) -> Floats:
    """Margin of the untuned model."""
    return given_margin(log_softmax(zero_shot, 1), given)


def product_margin(zero_shot: Floats, probs: Floats, given: Ints) -> Floats:
    """Margin of out-of-fold logistic regression times the zero-shot prediction."""
    return given_margin(log_softmax(zero_shot, 1) + np.log(probs + 1e-12), given)


def transport(zero_shot: Floats, given: Ints, reg: float = 0.01, sweeps: int = 300) -> Floats:
    """NLPrompt's screening of the untuned model: the log-plan's margin for the given class, uniform marginals."""
    kernel = log_softmax(np.float64(zero_shot), 1) / reg
    n, c = kernel.shape
    column = np.zeros(c)
    for _ in range(sweeps):
        row = -np.log(n) - logsumexp(kernel + column, axis=1)
        column = -np.log(c) - logsumexp(kernel + row[:, None], axis=0)
    return given_margin(reg * (kernel + column), given)


def former(features: Floats, zero_shot: Floats, given: Ints, fold: Ints) -> tuple[Floats, float, Floats]:
    """The first default of srrs: posterior (N, C), estimated rate and p_clean (N,), without a matcher."""
    c = zero_shot.shape[1]
    anchor = 0.3 * log_softmax(np.float64(zero_shot), 1)
    scale = max(3.0, float(np.log(c)))
    posterior, rate = _former_fit(anchor, given)
    centered = features - features.mean(0)
    centered = centered / np.maximum(np.linalg.norm(centered, axis=1, keepdims=True), 1e-12)
    for _ in range(3):
        similar = np.zeros_like(posterior)
        for k in np.unique(fold):
            others = fold != k
            means = posterior[others].T @ centered[others]
            means /= np.linalg.norm(means, axis=1, keepdims=True) + 1e-12
            similar[~others] = centered[~others] @ means.T
        posterior, rate = _former_fit(anchor + scale * similar, given)
    return posterior, rate, posterior[np.arange(len(given)), given]


def _former_fit(log_evidence: Floats, given: Ints, shrink: float = 12.0) -> tuple[Floats, float]:
    """EM for the transition matrix, shrunk towards a symmetric one by 12 pseudo-labels a class."""
    n, c = log_evidence.shape
    likelihood = np.exp(log_evidence - log_evidence.max(1, keepdims=True))
    rate, one_hot = 0.3, np.eye(c)[given]
    matrix = _symmetric(c, rate)
    for _ in range(50):
        q = likelihood * (matrix[:, given].T + 1e-12)
        q /= q.sum(1, keepdims=True)
        rate = float((n - q[np.arange(n), given].sum() + 1) / (n + 2))
        counts = q.T @ one_hot
        matrix = (counts + shrink * _symmetric(c, rate)) / (counts.sum(1, keepdims=True) + shrink)
    q = likelihood * (matrix[:, given].T + 1e-12)
    return q / q.sum(1, keepdims=True), rate


def _symmetric(c: int, rate: float) -> Floats:
    matrix = np.full((c, c), rate / (c - 1))
    np.fill_diagonal(matrix, 1 - rate)
    return matrix
