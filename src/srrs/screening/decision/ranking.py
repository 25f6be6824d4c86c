"""The score that ranks the given labels, worst first.

It is not the posterior alone, but its logit for the given class plus how well that class fits the image, on the scale
of `outside`. The posterior compares classes; the fit also falls where no class fits.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

WEIGHT, WEIGHT_ALONE = 0.5, 20.0
"""Logits that one standard deviation of the fit counts for; of predictions alone, whose fit is self-confidence."""
TAIL = 1e-4
"""Least posterior in the mean over several fits: one that is sure does not overrule the others."""
SLOPE = 0.25
"""Slope of the logistic curve that turns the sum into a score from 0 to 1 which does not saturate."""


def quality_of(ranked: Floats, p_outside: Floats, *, predictions_alone: bool) -> Floats:
    """Return the score (N,), 0 to 1, from posterior and fit of the given class (N, M, 2) and `p_outside` (N,).

    That an image may show none of the classes counts where it is likelier than not.
    """
    weight = WEIGHT_ALONE if predictions_alone else WEIGHT
    value = _logit(ranked[:, :, 0], TAIL) + weight * _standardized(ranked[:, :, 1])
    value = value.mean(1) - np.maximum(_logit(p_outside), 0)
    return np.asarray(1 / (1 + np.exp(-SLOPE * value)))


def _standardized(fit: Floats) -> Floats:
    fit = np.asarray(fit, np.float64)
    deviation = fit.std(0)
    return np.asarray((fit - fit.mean(0)) / np.where(deviation > 1e-6, deviation, np.inf))


def _logit(p: Floats, tail: float = 1e-9) -> Floats:
    p = np.clip(np.asarray(p, np.float64), tail, 1 - tail)
    return np.asarray(np.log(p) - np.log1p(-p))
