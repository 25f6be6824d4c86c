"""Gaussian classes with class vectors that know them roughly: features of which everything is known."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Drawn:
    """Images of some Gaussian classes."""

    features: NDArray[np.float32]
    truth: NDArray[np.int64]
    zero_shot: NDArray[np.float32]
    classes: int


def drawn(
    seed: int, *, classes: int = 8, shots: int = 20, size: int = 24, apart: float = 2.0, text: float = 1.0
) -> Drawn:
    """Draw `shots` images of each class; `apart` separates the classes, `text` is the error of the class vectors."""
    rng = np.random.default_rng(seed)
    means = apart * rng.normal(size=(classes, size)) / np.sqrt(size / 8)
    truth = np.repeat(np.arange(classes), shots)
    features = means[truth] + rng.normal(size=(len(truth), size))
    vectors = means + text * rng.normal(size=means.shape) / np.sqrt(size / 8)
    zero_shot = features @ vectors.T - 0.5 * (vectors**2).sum(1)
    return Drawn(features.astype(np.float32), truth, zero_shot.astype(np.float32), classes)


def flipped(truth: NDArray[np.int64], rate: float, classes: int, *, seed: int) -> NDArray[np.int64]:
    """Labels of which a share of `rate` is replaced by another class at random."""
    rng = np.random.default_rng(seed)
    wrong = rng.permutation(len(truth))[: round(rate * len(truth))]
    labels = truth.copy()
    labels[wrong] = (truth[wrong] + rng.integers(1, classes, len(wrong))) % classes
    return labels
