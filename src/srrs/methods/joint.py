"""Joint training with co-regularisation: what JoCoR learns and screens by (Wei et al. 2020)."""

import numpy as np
import torch
from torch import Tensor

from srrs.core import losses
from srrs.core.labels import one_hot
from srrs.methods.stages import Lesson, Loss, Memory, Screen
from srrs.records import Evidence, Group, NoiseEstimate, Partition


def joint_loss(log_probs: Tensor, soft: Tensor, agreement: float) -> Tensor:
    """Both learners' cross-entropy and their disagreement: (2, B, C), (B, C) -> (B,), >= 0.

    Published as `(1 - agreement) CE + agreement J`; here over `1 - agreement`, so that the cross-entropy counts as in
    other methods: the published optimiser, Adam, does not feel the scale, but ours does. Raises ValueError unless there
    are two learners and 0 <= agreement < 1.
    """
    if len(log_probs) != 2:
        raise ValueError(f"Expected two learners for the joint loss, but got {len(log_probs)}")
    if not 0 <= agreement < 1:
        raise ValueError(f"Expected agreement from 0 to below 1, but got {agreement}")
    first, second = log_probs
    fit = losses.soft_cross_entropy(first, soft) + losses.soft_cross_entropy(second, soft)
    return fit + agreement / (1 - agreement) * losses.jeffreys(first, second)


def small_joint_loss(noise_rate: float, agreement: float = 0.5) -> Loss:
    """The mean joint loss of a step without its `noise_rate` largest ones."""
    _check(noise_rate)

    def loss(logits: Tensor, lesson: Lesson) -> Tensor:
        per_sample = joint_loss(logits.log_softmax(2), lesson.soft, agreement)
        kept = per_sample.detach().topk(max(1, _kept(len(per_sample), noise_rate)), largest=False).indices
        weight = lesson.weight[kept]
        return (per_sample[kept] * weight).sum() / weight.sum().clamp(min=1e-6)

    return loss


def small_joint(noise_rate: float, agreement: float = 0.5) -> Screen:
    """Noisy are the `noise_rate` of all samples with the largest joint loss.

    `p_clean` falls with that loss: it is the geometric mean of what the two learners believe of the given label, less
    the less they agree. The noise estimate is the rate that it was told.
    """
    _check(noise_rate)

    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        probs = np.maximum(np.swapaxes(evidence.probs, 0, 1), np.finfo(np.float32).tiny).astype(np.float64)
        given = one_hot(evidence.labels, probs.shape[2])
        loss = joint_loss(torch.from_numpy(np.log(probs)), torch.from_numpy(given), agreement).numpy()
        p_clean = np.exp(-loss / 2)
        kept = _kept(len(loss), noise_rate)
        least = np.sort(p_clean)[-kept] if kept else np.inf
        group = np.where(p_clean >= least, Group.CLEAN, Group.NOISY).astype(np.int8)
        told = NoiseEstimate(noise_rate, noise_rate, noise_rate)
        return Partition(group, p_clean, np.zeros((1, 2)), told), memory

    return screen


def _kept(count: int, noise_rate: float) -> int:
    return round((1 - noise_rate) * count)


def _check(noise_rate: float) -> None:
    if not 0 <= noise_rate <= 1:
        raise ValueError(f"Expected noise_rate from 0 to 1, but got {noise_rate}")
