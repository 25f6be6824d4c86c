"""Screening: which given labels to trust."""

import numpy as np

from srrs.core.mixture import density_thresholds, fit_two, normalise, posterior_low
from srrs.methods.stages import Memory, Screen
from srrs.records import Evidence, Floats, Group, NoiseEstimate, Partition


def trust_all() -> Screen:
    """Every given label counts as clean; `p_clean` is what the learners believe of it."""

    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        n = len(evidence.labels)
        believed = evidence.probs.mean(1)[np.arange(n), evidence.labels]
        group = np.full(n, Group.CLEAN, dtype=np.int8)
        return Partition(group, believed, np.zeros((1, 2)), counted_noise(believed, group)), memory

    return screen


def bands(theta: float = 0.01, remember: int = 5, seed: int = 0) -> Screen:
    """SRRS as published: a mixture of two Gaussians on the loss and two density thresholds (paper, Eq. 6-9).

    The loss is scaled to 0..1 and averaged over the last `remember` screenings, as the released code does.
    """

    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        loss, memory = remembered("losses", normalise(evidence.loss), remember, memory)
        mixture = fit_two(loss, seed=seed)
        p_clean = posterior_low(loss, mixture)
        lower, upper = density_thresholds(mixture, theta)
        group = np.full(len(loss), Group.AMBIGUOUS, dtype=np.int8)
        group[loss < lower] = Group.CLEAN
        group[loss >= upper] = Group.NOISY
        return Partition(group, p_clean, np.array([[lower, upper]]), counted_noise(p_clean, group)), memory

    return screen


def remembered(name: str, values: Floats, count: int, memory: Memory) -> tuple[Floats, Memory]:
    """The mean of `values` (N,) and of those of the last `count - 1` rounds, and the memory with them added."""
    past = memory.get(name, np.zeros((0, len(values))))
    window = np.concatenate([past, values[None]])[-count:]
    return window.mean(0), {**memory, name: window}


def counted_noise(p_clean: Floats, group: np.ndarray) -> NoiseEstimate:
    """The rate of a method without a noise model: mean belief, between the noisy share and the share not clean."""
    rate = float(1 - p_clean.mean())
    low, high = float((group == Group.NOISY).mean()), float((group != Group.CLEAN).mean())
    return NoiseEstimate(rate, min(low, rate), max(high, rate))
