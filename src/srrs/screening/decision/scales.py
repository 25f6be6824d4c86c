"""The scale of each source of evidence, fitted to the given labels.

A source is a matrix of scores. Its scale is the power to which exp(score) is raised to make it a likelihood. The scales
maximize the likelihood of the given labels under P(y | x) = Σ_k softmax(Σ_s a_s score_s)_k T[k, y]. If T is not known
yet, T is uniform noise, whose rate is fitted together with the scales. A source without information about the given
labels gets a scale near 0.

No score may depend on the label of its own image.

N images, C classes, K candidate classes per image, S sources.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
Bools = NDArray[np.bool_]

TYPICAL, WIDTH = 0.3, 3.0
"""Prior of a scale: log-normal with the median TYPICAL and the standard deviation WIDTH of the logarithm. The prior
matters only if the labels do not determine the scale."""
BOUNDS = (-9.0, 2.5)
"""Bounds of the logarithm of a scale."""
RATE_BOUNDS = (-9.0, 5.0)
"""Bounds of the logit of the noise rate."""


def fit_scales(
    sources: Sequence[Floats], is_given: Bools, classes: int, *, transition: Floats | None = None
) -> tuple[Floats, float]:
    """Return the scale of each source (S,) and the rate of uniform noise (0 if `transition` is given).

    Parameters
    ----------
    sources : scores of each source: (N, K), or (N, K + 1) with the mean of all other classes as the last column.
    is_given : (N, K) whether each candidate is the given label.
    classes : C.
    transition : (N, K) probability T[k, y] of the given label for each candidate class k; None for uniform noise.
    """
    others = sources[0].shape[1] - is_given.shape[1]
    many = log_count(is_given.shape[1], classes, others)
    if others:
        is_given = np.pad(is_given, ((0, 0), (0, 1)))
        transition = None if transition is None else np.pad(transition, ((0, 0), (0, 1)))
    scores = [np.asarray(s - s.max(1, keepdims=True), np.float32) for s in sources]
    start = [np.log(TYPICAL)] * len(scores) + ([] if transition is not None else [-1.5])
    bounds = [BOUNDS] * len(scores) + ([] if transition is not None else [RATE_BOUNDS])

    def loss(parameters: Floats) -> tuple[float, Floats]:
        scales = np.exp(parameters[: len(scores)])
        probs = _softmax(pooled(scores, scales) + many)
        if transition is None:
            value, residual, slope = _uniform(probs, is_given, classes, parameters[-1])
        else:
            value, residual, slope = _through(probs, transition)
        gradient = [a * float((residual * s).sum(dtype=np.float64)) for a, s in zip(scales, scores, strict=True)]
        away = parameters[: len(scores)] - np.log(TYPICAL)
        value -= 0.5 * float((away**2).sum()) / WIDTH**2
        full = np.array(gradient) - away / WIDTH**2
        return -value / len(probs), -np.append(full, slope) / len(probs)

    found = minimize(loss, np.array(start), jac=True, method="L-BFGS-B", bounds=bounds).x
    rate = 0.0 if transition is not None else float(1 / (1 + np.exp(-found[-1])))
    return np.exp(found[: len(scores)]), rate


def log_count(candidates: int, classes: int, others: int) -> Floats:
    """Return the logarithm of the number of classes in each column, (1, K) or (1, K + 1).

    `candidates` is K, `classes` is C, and `others` is 1 with a column for all other classes, else 0.
    """
    found = np.zeros((1, candidates + others), np.float32)
    if others:
        found[0, -1] = np.log(classes - candidates)
    return found


def likelihoods(logits: Floats, candidates: int, classes: int) -> Floats:
    """Return the probabilities (N, K) of the candidates, from pooled scores (N, K) or (N, K + 1)."""
    others = logits.shape[1] - candidates
    return _softmax(np.asarray(logits + log_count(candidates, classes, others), np.float32))[:, :candidates]


def pooled(sources: Sequence[Floats], scales: Floats) -> Floats:
    """Return the sum of the scores of all sources, each multiplied by its scale, in float32 and in the same shape."""
    return np.asarray(sum(np.float32(a) * s for a, s in zip(scales, sources, strict=True)), np.float32)


def _uniform(probs: Floats, is_given: Bools, classes: int, logit: float) -> tuple[float, Floats, list[float]]:
    """Return the log-likelihood under uniform noise, and its derivatives: by the pooled scores, by the rate's logit."""
    rate = 1 / (1 + np.exp(-logit))
    of_given = (probs * is_given).sum(1)
    likelihood = (1 - rate) * of_given + rate / classes
    credit = ((1 - rate) * of_given / likelihood)[:, None].astype(np.float32)
    residual = credit * (is_given - probs)
    slope = float(((1 / classes - of_given) / likelihood).sum(dtype=np.float64)) * rate * (1 - rate)
    return float(np.log(likelihood).sum(dtype=np.float64)), residual, [slope]


def _through(probs: Floats, transition: Floats) -> tuple[float, Floats, list[float]]:
    """Return the log-likelihood through a transition matrix, its derivative by the pooled scores, and no third one."""
    joint = probs * transition
    likelihood = np.maximum(joint.sum(1), 1e-30)
    return float(np.log(likelihood).sum(dtype=np.float64)), joint / likelihood[:, None] - probs, []


def _softmax(scores: Floats) -> Floats:
    raised = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(raised / raised.sum(1, keepdims=True))
