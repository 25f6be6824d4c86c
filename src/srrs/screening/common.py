"""Functions that several screening rules share. N samples, C classes."""

from collections.abc import Sequence

import numpy as np

from srrs.records import Bools, Floats, Group, Ints, NoiseEstimate, Partition, Thresholds

History = Sequence[Floats] | Floats
"""Scores (K, N) of K earlier screenings of the same N samples, or an empty sequence."""


def of_given(values: Floats, labels: Ints) -> Floats:
    """Return, for each row of `values` (N, C), the entry (N,) in the column of the given label (N,)."""
    return np.asarray(values[np.arange(len(labels)), labels])


def averaged(values: Floats, history: History) -> Floats:
    """Return the mean (N,) of the scores `values` (N,) of this screening and the scores of the earlier ones."""
    mean: Floats = np.concatenate([np.reshape(history, (-1, len(values))), values[None]]).mean(0)
    return mean


class LogRows:
    """Log-probabilities (N, C) of given probabilities. The logarithm is computed for the rows that are indexed."""

    ndim = 2

    def __init__(self, probs: Floats):
        self._probs = probs
        self.shape = probs.shape

    def __len__(self) -> int:
        return len(self._probs)

    def __getitem__(self, rows: "Ints | slice") -> Floats:
        return np.asarray(np.log(np.maximum(self._probs[rows], np.finfo(np.float32).tiny)))


def counted_noise(p_clean: Floats, group: Ints) -> NoiseEstimate:
    """Estimate the noise rate from `p_clean` (N,) and the groups (N,), without a transition matrix.

    The rate is the mean of `1 - p_clean`. The range of the estimate goes from the share of noisy samples to the share
    of samples that are not clean, and is extended to the rate if it does not contain the rate.
    """
    rate = float(1 - p_clean.mean())
    low, high = float((group == Group.NOISY).mean()), float((group != Group.CLEAN).mean())
    return NoiseEstimate(rate, min(low, rate), max(high, rate))


def two_groups(clean: Bools, p_clean: Floats, thresholds: Thresholds | None = None) -> Partition:
    """Return the partition in which `clean` (N,) marks the clean samples, and all other samples are noisy.

    The noise rate is estimated by `counted_noise`.
    """
    group = np.where(clean, Group.CLEAN, Group.NOISY).astype(np.int8)
    return Partition(group, p_clean, counted_noise(p_clean, group), thresholds)


def one_cut(score: str, values: Floats, bound: float) -> Thresholds:
    """Return the scores `values` (N,) with one bound instead of an ambiguous band. `score` is the name of the score."""
    return Thresholds(score, np.array([bound]), np.array([bound]), values)
