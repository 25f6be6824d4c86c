"""What several screening rules share. N samples, C classes."""

from collections.abc import Sequence

import numpy as np

from srrs.records import Bools, Floats, Group, Ints, NoiseEstimate, Partition, Thresholds

History = Sequence[Floats] | Floats
"""Scores (K, N) of earlier screenings."""


def of_given(values: Floats, labels: Ints) -> Floats:
    """Return the entry (N,) of each row of `values` (N, C) at the given label."""
    return np.asarray(values[np.arange(len(labels)), labels])


def averaged(values: Floats, history: History) -> Floats:
    """Return the mean (N,) of the values and of those of earlier screenings."""
    mean: Floats = np.concatenate([np.reshape(history, (-1, len(values))), values[None]]).mean(0)
    return mean


class LogRows:
    """The logarithm of probabilities (N, C), of those rows alone that are read."""

    ndim = 2

    def __init__(self, probs: Floats):
        self._probs = probs
        self.shape = probs.shape

    def __len__(self) -> int:
        return len(self._probs)

    def __getitem__(self, rows: "Ints | slice") -> Floats:
        return np.asarray(np.log(np.maximum(self._probs[rows], np.finfo(np.float32).tiny)))


def counted_noise(p_clean: Floats, group: Ints) -> NoiseEstimate:
    """Estimate the noise rate without a noise model.

    The rate is the mean of `1 - p_clean`; its range runs from the share of noisy samples to the share that is not
    clean.
    """
    rate = float(1 - p_clean.mean())
    low, high = float((group == Group.NOISY).mean()), float((group != Group.CLEAN).mean())
    return NoiseEstimate(rate, min(low, rate), max(high, rate))


def two_groups(clean: Bools, p_clean: Floats, thresholds: Thresholds | None = None) -> Partition:
    """Return the partition into clean and noisy samples, with the counted noise rate."""
    group = np.where(clean, Group.CLEAN, Group.NOISY).astype(np.int8)
    return Partition(group, p_clean, counted_noise(p_clean, group), thresholds)


def one_cut(score: str, values: Floats, bound: float) -> Thresholds:
    """Return thresholds without an ambiguous band."""
    return Thresholds(score, np.array([bound]), np.array([bound]), values)
