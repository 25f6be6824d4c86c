"""Images of none of the classes, which are found by how poorly every class fits them.

The *fit* of a class to an image is the sum of the scores of all sources, each centered per class and divided by its
standard deviation. The fit of an image is that of its best class. Examples of images of no class follow from the data:
an image whose own class is left out is such an example. The fits of these examples determine one normal distribution.
The distribution of the images that show a class, and the share of each kind, are estimated by EM. If the two
distributions overlap much, the probabilities are scaled down, so that no image is called outside.

N images, C classes, K candidate classes per image.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

BLURRED, APART = 1.5, 1.75
"""Distances between the means of the two distributions, in standard deviations of the images that show a class. Up to
BLURRED, the weight of the probabilities is LEAST; from APART on, it is 1."""
MOST = 0.5
"""If a larger share of the images seems to show no class, the mixture is discarded: the two distributions do not
separate the two kinds of images."""
LEAST = 0.02
"""Least weight of the probabilities. With this weight, they keep their order, but have no effect on the groups."""
ITERATIONS = 100
"""Number of EM iterations."""
PREDICTIONS = "predictions"
"""Name of the given predictions as a source."""


@dataclass(frozen=True)
class Fitting:
    """Centers and standard deviations of the sources, which give the fit of a class to an image."""

    center: Mapping[str, Floats]
    """(C,) mean score of each class, for each source; 0 if the source is not centered."""
    spread: Mapping[str, float]
    """Standard deviation of the centered scores of each source. A source with the value 0 is not used."""

    def __call__(self, scores: Mapping[str, Floats], index: Ints) -> Floats:
        """Return the fit (N, K) of each candidate class `index` (N, K).

        `scores` of each source are (N, K) or (N, K + 1).
        """
        total = np.zeros(index.shape, np.float32)
        for name, values in scores.items():
            if self.spread[name] > 0:
                total += (values[:, : index.shape[1]] - self.center[name][index]) / self.spread[name]
        return total


@dataclass(frozen=True)
class Mixture:
    """Mixture of two normal distributions of a score: how well the best-fitting class fits an image.

    One component describes the images that show none of the classes, the other all other images.
    """

    share: float
    """Share of images of no class."""
    weight: float
    """Factor of the probabilities, 0 to 1. It is lower if the distributions overlap more."""
    outside: tuple[float, float]
    """Mean and standard deviation of the fit of images of no class."""
    inside: tuple[float, float]
    """Mean and standard deviation of the fit of images that show a class."""

    def __call__(self, fit: Floats) -> Floats:
        """Return the probability (N,) that images with the given fit (N,) show none of the classes.

        The probability never increases with the fit, even if the standard deviations differ.
        """
        if self.share <= 0:
            return np.zeros(len(fit))
        (m1, s1), (m0, s0) = self.outside, self.inside
        turn = (m1 / s1**2 - m0 / s0**2) / (1 / s1**2 - 1 / s0**2) if s1 != s0 else 0.0
        fit = np.asarray(fit, np.float64)
        fit = np.maximum(fit, turn) if s0 > s1 else np.minimum(fit, turn) if s0 < s1 else fit
        odds = np.log(self.share / (1 - self.share)) + _log_normal(fit, m1, s1) - _log_normal(fit, m0, s0)
        return np.asarray(self.weight / (1 + np.exp(-np.clip(odds, -50, 50))))


def fit_fitting(scores: Mapping[str, Floats], index: Ints, classes: int) -> Fitting:
    """Return the centers and standard deviations of the sources.

    `scores` of each source are (N, K) or (N, K + 1), and `index` (N, K) are the candidate classes.
    """
    center: dict[str, Floats] = {}
    spread: dict[str, float] = {}
    for name, every in scores.items():
        values = every[:, : index.shape[1]]
        count = np.bincount(index.ravel(), minlength=classes)
        center[name] = np.bincount(index.ravel(), values.ravel(), classes) / np.maximum(count, 1)
        # not centered: predictions, which are probabilities; and scores of some classes only, whose mean is biased
        centered = name != PREDICTIONS and index.shape[1] == classes
        center[name] = np.asarray(center[name] * centered, np.float32)
        spread[name] = float((values - center[name][index]).std(dtype=np.float64))
        if spread[name] < 1e-6:
            spread[name] = 0.0
    return Fitting(center, spread)


def fit_mixture(fit: Floats, posterior: Floats, *, predictions_alone: bool) -> Mixture:
    """Fit both normal distributions to the fit (N, K) of each candidate class.

    The class with the highest `posterior` (N, K) is left out to make an example of an image of no class. If the given
    predictions are the only source (`predictions_alone`), the weight is LEAST, because class probabilities do not show
    whether any class fits. With fewer than 3 candidate classes, or if EM finds a share above MOST, the mixture has no
    images of no class.
    """
    best = fit.max(1).astype(np.float64)
    nothing = Mixture(0.0, 0.0, (0.0, 1.0), (0.0, 1.0))
    if fit.shape[1] < 3:
        return nothing
    others = np.array(fit)
    np.put_along_axis(others, posterior.argmax(1)[:, None], -np.inf, axis=1)
    left_out = others.max(1).astype(np.float64)
    m1, s1 = float(left_out.mean()), max(float(left_out.std()), 1e-6)
    # EM for the share and for the images that show a class. The distribution of the examples stays fixed.
    share, m0, s0 = 0.1, float(np.median(best)), max(float(best.std()), 1e-6)
    for _ in range(ITERATIONS):
        odds = np.log(share / (1 - share)) + _log_normal(best, m1, s1) - _log_normal(best, m0, s0)
        outside = 1 / (1 + np.exp(-np.clip(odds, -50, 50)))
        inside = np.maximum(1 - outside, 1e-12)
        m0 = float((inside * best).sum() / inside.sum())
        s0 = max(float(np.sqrt((inside * (best - m0) ** 2).sum() / inside.sum())), 1e-6)
        share = float((outside.sum() + 0.5) / (len(best) + 10))
    if share > MOST:
        return nothing
    weight = float(np.clip(((m0 - m1) / s0 - BLURRED) / (APART - BLURRED), LEAST, 1))
    return Mixture(share, LEAST if predictions_alone else weight, (m1, s1), (m0, s0))


def _log_normal(x: Floats, mean: float, deviation: float) -> Floats:
    return np.asarray(-0.5 * ((x - mean) / deviation) ** 2 - np.log(deviation))
