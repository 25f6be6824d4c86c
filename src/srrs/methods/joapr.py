"""Joint adaptive partitioning for label refurbishment: what JoAPR screens and rectifies by (Guo and Gu 2024)."""

import math

import numpy as np

from srrs.core.labels import one_hot, sharpen
from srrs.core.mixture import TwoGaussians, fit_two, normalise, posterior_low
from srrs.methods.screen import counted_noise, remembered
from srrs.methods.stages import Memory, Rectify, Screen
from srrs.records import Evidence, Group, Partition, Targets


def joint_thresholds(remember: int = 5, seed: int = 0) -> Screen:
    """Clean where either of two thresholds says so, else noisy; a mixture of two Gaussians on loss plus entropy.

    The score is scaled to 0..1 and averaged over the last `remember` screenings. The first threshold, on the score, is
    where the two Gaussians cross. The second, on the posterior, is the noise rate: the share of samples whose posterior
    is no higher than the rate of the screening before, 0.5 at first.
    """

    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        p = evidence.probs
        entropy = -(p * np.log(np.maximum(p, np.finfo(np.float32).tiny))).sum(2).mean(1)
        score, memory = remembered("losses", normalise(evidence.loss + entropy), remember, memory)
        mixture = fit_two(score, seed, max_iter=10, tol=1e-2)
        p_clean, threshold = posterior_low(score, mixture), crossing(mixture)
        rate = (p_clean <= memory.get("noise_rate", 0.5)).mean()
        clean = (score < threshold) | (p_clean > rate)
        group = np.where(clean, Group.CLEAN, Group.NOISY).astype(np.int8)
        partition = Partition(group, p_clean, np.full((1, 2), threshold), counted_noise(p_clean, group))
        return partition, {**memory, "noise_rate": np.array([rate])}

    return screen


def refurbish(sharpness: float = 2.0) -> Rectify:
    """Noisy samples take the learners' mean, clean ones `w y + (1 - w)` of it, both to the power `sharpness`.

    `w` is the posterior times what the learners believe of the given label.
    """

    def rectify(evidence: Evidence, partition: Partition, memory: Memory) -> tuple[Targets, Memory]:
        believed = evidence.probs.mean(1, dtype=np.float64)
        given = one_hot(evidence.labels, believed.shape[1])
        trust = partition.p_clean * (given * believed).sum(1) * (partition.group == Group.CLEAN)
        soft = sharpen(trust[:, None] * given + (1 - trust[:, None]) * believed, sharpness)
        return Targets(soft, np.ones(len(soft))), memory

    return rectify


def crossing(mixture: TwoGaussians) -> float:
    """Where the two components are equally dense, their weights left out.

    Unless they are equally wide there are two such points, and this is the one between the means, or, where the means
    are too close for that, the one nearer to them. With nothing to separate, it is the mean.
    """
    apart, ratio = mixture.mean[1] - mixture.mean[0], mixture.std[1] / mixture.std[0]
    # (ratio^2 - 1) x^2 + 2 apart x - c = 0, counted from the low mean; this root stands where the ratio is 1
    c = apart**2 + 2 * mixture.std[1] ** 2 * math.log(ratio)
    divisor = apart + math.sqrt(apart**2 + (ratio**2 - 1) * c)
    return float(mixture.mean[0] + (c / divisor if divisor > 0 else 0))
