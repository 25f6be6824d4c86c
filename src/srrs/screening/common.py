"""Functions that several screening rules share. N samples, C classes."""

from collections.abc import Sequence

import numpy as np

from srrs.records import Bools, Floats, Group, Ints, NoiseEstimate, Partition, Thresholds

History = Sequence[Floats] | Floats
"""Scores (K, N) of earlier screenings."""


def of_given(values: Floats, labels: Ints) -> Floats:
    """Return the entry (N,) of each row of `values` (N, C) at the given label."""
    return np.asarray(values[np.arange(len(labels)), labels])


def averaged(values: Floats, history: History) -> Floats:
    """Return the mean (N,) of the values of this screening and of the earlier screenings in `history`."""
    mean: Floats = np.concatenate([np.reshape(history, (-1, len(values))), values[None]]).mean(0)
    return mean


class LogRows:
    """Log-probabilities (N, C), which are computed row by row when they are read."""

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

    The rate is the mean of `1 - p_clean`. Its range begins at the share of noisy samples and ends at the share of
    samples that are not clean.
    """
    rate = float(1 - p_clean.mean())
    low, high = float((group == Group.NOISY).mean()), float((group != Group.CLEAN).mean())
    return NoiseEstimate(rate, min(low, rate), max(high, rate))


def two_groups(clean: Bools, p_clean: Floats, thresholds: Thresholds | None = None) -> Partition:
    """Return the partition into clean and noisy samples, with the noise rate of `counted_noise`."""
    group = np.where(clean, Group.CLEAN, Group.NOISY).astype(np.int8)
    return Partition(group, p_clean, counted_noise(p_clean, group), thresholds)


def one_cut(score: str, values: Floats, bound: float) -> Thresholds:
    """Return one threshold `bound` on a score, so that no sample is ambiguous."""
    return Thresholds(score, np.array([bound]), np.array([bound]), values)
