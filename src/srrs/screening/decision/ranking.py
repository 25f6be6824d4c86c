"""The score that ranks the given labels. The worst label has the lowest score.

The score adds two values: the log odds of the given class, and the fit of this class to the image (see `outside`). The
log odds compare the class with all others. The fit is also low if no class fits the image.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Bools = NDArray[np.bool_]

WEIGHT, WEIGHT_ALONE = 0.5, 20.0
"""Weight of the standardized fit relative to the log odds. WEIGHT_ALONE applies if the given predictions are the only
source, because their fit is the self-confidence."""
LARGEST = 9.2
"""Limit of the log odds if several hypotheses are averaged, so that a very certain one does not dominate the mean."""
SLOPE = 0.25
"""Slope of the logistic function that maps the sum to 0..1. It is so small that the scores of the worst labels do not
become 0."""


def log_odds(posterior: Floats, given: Bools) -> Floats:
    """Return the log odds (N,) of the given class from the posterior (N, K). `given` (N, K) marks the given class.

    The posteriors of the other classes are added. Subtracting the posterior of the given class from 1 would round small
    differences away, which rank the most plausible mistakes.
    """
    tiny = np.finfo(np.float32).tiny
    right, wrong = ((posterior * part).sum(1, dtype=np.float64) for part in (given, ~given))
    return np.asarray(np.log(np.maximum(right, tiny)) - np.log(np.maximum(wrong, tiny)))


def quality_of(ranked: Floats, p_outside: Floats, *, predictions_alone: bool) -> Floats:
    """Return the score (N,) of each given label, from 0 to 1.

    The log odds that an image shows none of the classes are subtracted if they are positive.

    Parameters
    ----------
    ranked : (N, M, 2) log odds and fit of the given class, under each of M hypotheses.
    p_outside : (N,) probability that the image shows none of the classes.
    predictions_alone : whether the given predictions are the only source.
    """
    weight = WEIGHT_ALONE if predictions_alone else WEIGHT
    odds = ranked[:, :, 0] if ranked.shape[1] == 1 else np.clip(ranked[:, :, 0], -LARGEST, LARGEST)
    value = (odds + weight * _standardized(ranked[:, :, 1])).mean(1) - np.maximum(_logit(p_outside), 0)
    return np.asarray(1 / (1 + np.exp(-SLOPE * value)))


def _standardized(fit: Floats) -> Floats:
    fit = np.asarray(fit, np.float64)
    ordered = np.sort(fit, axis=0)  # rounding errors of sums depend on the order, and the user's order must not matter
    deviation = ordered.std(0)
    return np.asarray((fit - ordered.mean(0)) / np.where(deviation > 1e-6, deviation, np.inf))


def _logit(p: Floats, tail: float = 1e-9) -> Floats:
    p = np.clip(np.asarray(p, np.float64), tail, 1 - tail)
    return np.asarray(np.log(p) - np.log1p(-p))
