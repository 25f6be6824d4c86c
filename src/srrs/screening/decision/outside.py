"""Images of none of the classes, found by how little any class fits them.

The fit of a class is the sum of all sources, each centered per class and divided by its spread; the fit of an image is
that of its best class. How images of no class look can be read from the data: an image whose own class is left out *is*
an image of no class. So one of two normal distributions is known, and the other and the shares follow by EM. Where the
two overlap so much that single images cannot be told apart, the probabilities shrink and no image is called outside.

N images, C classes, K candidate classes per image.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

BLURRED, APART = 1.5, 1.75
"""Distances of the two distributions, in standard deviations of the known images: up to the first no image can be told,
from the second on the probabilities are taken at their word."""
MOST = 0.5
"""Where more images than this seem to show no class, the two distributions are not those of the two kinds of images."""
LEAST = 0.02
"""What probabilities are multiplied by at least: they keep their order where they count for nothing."""
ITERATIONS = 100
PREDICTIONS = "predictions"


@dataclass(frozen=True)
class Fitting:
    """How well classes fit images, on one scale."""

    center: Mapping[str, Floats]
    """(C,) of each source."""
    spread: Mapping[str, float]

    def __call__(self, scores: Mapping[str, Floats], index: Ints) -> Floats:
        """Return the fit (N, K) of each candidate class, from the scores (N, K) of each source."""
        total = np.zeros(index.shape, np.float32)
        for name, values in scores.items():
            if self.spread[name] > 0:
                total += (values[:, : index.shape[1]] - self.center[name][index]) / self.spread[name]
        return total


@dataclass(frozen=True)
class Mixture:
    """Normal distributions of the fit of images of no class, and of all others."""

    share: float
    """Share of images of no class."""
    weight: float
    """How far the probabilities are trusted, 0 to 1."""
    outside: tuple[float, float]
    """Mean and standard deviation."""
    inside: tuple[float, float]

    def __call__(self, fit: Floats) -> Floats:
        """Return the probability (N,) that images of this fit show none of the classes; it falls with the fit."""
        if self.share <= 0:
            return np.zeros(len(fit))
        (m1, s1), (m0, s0) = self.outside, self.inside
        turn = (m1 / s1**2 - m0 / s0**2) / (1 / s1**2 - 1 / s0**2) if s1 != s0 else 0.0
        fit = np.asarray(fit, np.float64)
        fit = np.maximum(fit, turn) if s0 > s1 else np.minimum(fit, turn) if s0 < s1 else fit
        odds = np.log(self.share / (1 - self.share)) + _log_normal(fit, m1, s1) - _log_normal(fit, m0, s0)
        return np.asarray(self.weight / (1 + np.exp(-np.clip(odds, -50, 50))))


def fit_fitting(scores: Mapping[str, Floats], index: Ints, classes: int) -> Fitting:
    """Return the centers and spreads of the sources (N, K)."""
    center: dict[str, Floats] = {}
    spread: dict[str, float] = {}
    for name, every in scores.items():
        values = every[:, : index.shape[1]]
        count = np.bincount(index.ravel(), minlength=classes)
        center[name] = np.bincount(index.ravel(), values.ravel(), classes) / np.maximum(count, 1)
        # predictions are probabilities, and a few candidates of many classes do not show the mean of a class
        centered = name != PREDICTIONS and index.shape[1] == classes
        center[name] = np.asarray(center[name] * centered, np.float32)
        spread[name] = float((values - center[name][index]).std(dtype=np.float64))
        if spread[name] < 1e-6:
            spread[name] = 0.0
    return Fitting(center, spread)


def fit_mixture(fit: Floats, posterior: Floats, *, predictions_alone: bool) -> Mixture:
    """Fit both distributions to the fit (N, K) of each class; `posterior` (N, K) says which class is left out.

    Predictions alone know no image of another class: their probabilities are not trusted.
    """
    best = fit.max(1).astype(np.float64)
    nothing = Mixture(0.0, 0.0, (0.0, 1.0), (0.0, 1.0))
    if fit.shape[1] < 3:
        return nothing
    others = np.array(fit)
    np.put_along_axis(others, posterior.argmax(1)[:, None], -np.inf, axis=1)
    left_out = others.max(1).astype(np.float64)
    m1, s1 = float(left_out.mean()), max(float(left_out.std()), 1e-6)
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
