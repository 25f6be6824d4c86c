"""The score that ranks the given labels, worst first.

It is not the posterior alone, but its logit for the given class plus how well that class fits the image, on the scale
of `outside`. The posterior compares classes; the fit also falls where no class fits.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

WEIGHT, WEIGHT_ALONE = 2.0, 5.0
"""Logits that one standard deviation of the fit counts for; of predictions alone, which ranks by self-confidence."""
SLOPE = 0.25
"""Slope of the logistic curve that turns the sum into a score from 0 to 1 which does not saturate."""


@dataclass(frozen=True)
class Ranking:
    """Standardizes the fit of the given class."""

    mean: float
    deviation: float
    weight: float

    @classmethod
    def of(cls, fit: Floats, *, predictions_alone: bool) -> "Ranking":
        """Standardize by the fit (N,) of the given classes."""
        weight = WEIGHT_ALONE if predictions_alone else WEIGHT
        return cls(float(fit.mean(dtype=np.float64)), float(fit.std(dtype=np.float64)), weight)

    def __call__(self, p_given: Floats, p_outside: Floats, fit: Floats) -> Floats:
        """Return the score (N,), 0 to 1, for the posterior and the fit of the given class (N,), and `p_outside` (N,).

        That an image may show none of the classes counts where it is likelier than not.
        """
        value = _logit(p_given) - np.maximum(_logit(p_outside), 0)
        if self.deviation > 1e-6:
            value = value + self.weight * (np.asarray(fit, np.float64) - self.mean) / self.deviation
        return np.asarray(1 / (1 + np.exp(-SLOPE * value)))


def _logit(p: Floats) -> Floats:
    p = np.clip(np.asarray(p, np.float64), 1e-9, 1 - 1e-9)
    return np.asarray(np.log(p) - np.log1p(-p))
