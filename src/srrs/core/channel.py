"""How labels go wrong: a channel from the true class to the given label, fitted by expectation-maximisation.

Predictions of a frozen model never saw the given labels, so given the true class they are independent of the label
noise. With true class y*, given label y, evidence p and channel T[k, j] = P(y = j | y* = k):

    posterior  q_i(k) ∝ p_i(k) T[k, y_i]
    channel    T[k, j] = (Σ_i q_i(k) [y_i = j] + λ S[k, j]) / (Σ_i q_i(k) + λ)
    rate       η = (Σ_i (1 − q_i(y_i)) + a) / (N + a + b)

where S, the channel that T is shrunk towards, is symmetric with rate η. Dawid and Skene (1979) with one annotator, and
with a prior on the rate: where nothing says otherwise, few labels are wrong.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

ITERATIONS = 50


@dataclass(frozen=True)
class Channel:
    """A fitted channel and what follows from it."""

    transition: Floats
    """(C, C) probability of each given label (column) for each true class (row)."""
    rate: float
    """Estimated share of wrong labels."""
    posterior: Floats
    """(N, C) probability of each true class."""
    log_likelihood: float
    """Of the given labels, per sample."""


def symmetric(classes: int, rate: float) -> Floats:
    """The channel (C, C) in which a label is wrong with probability `rate`, any other class being as likely."""
    channel = np.full((classes, classes), rate / (classes - 1))
    np.fill_diagonal(channel, 1 - rate)
    return channel


def posterior(log_evidence: Floats, labels: Ints, transition: Floats) -> tuple[Floats, float]:
    """(N, C) posterior of the true class, and the mean log-likelihood of the given labels."""
    joint = log_evidence + np.log(transition[:, labels].T + 1e-12)
    top = joint.max(1, keepdims=True)
    unnormalised = np.exp(joint - top)
    total = unnormalised.sum(1, keepdims=True)
    return unnormalised / total, float((np.log(total) + top).mean())


def fit_channel(
    log_evidence: Floats,
    labels: Ints,
    *,
    shrink: float = 12.0,
    prior: tuple[float, float] = (1.0, 1.0),
    start: float = 0.3,
    iterations: int = ITERATIONS,
) -> Channel:
    """Fit the channel to evidence (N, C), as log-probabilities, and given labels (N,).

    `shrink` is λ, in samples per class; `prior` the pseudo-counts (wrong, right) on the rate.
    """
    n, c = log_evidence.shape
    transition, rate = symmetric(c, start), start
    given = np.eye(c)[labels]
    for _ in range(iterations):
        q, _ = posterior(log_evidence, labels, transition)
        wrong = n - q[np.arange(n), labels].sum()
        rate = float((wrong + prior[0]) / (n + prior[0] + prior[1]))
        counts = q.T @ given
        transition = (counts + shrink * symmetric(c, rate)) / (counts.sum(1, keepdims=True) + shrink)
    q, likelihood = posterior(log_evidence, labels, transition)
    return Channel(transition, rate, q, likelihood)
