"""The joint loss of two classifiers in JoCoR (Wei et al. 2020), and screening by this loss.

N samples, B samples of a batch, C classes.
"""

import numpy as np
import torch
from torch import Tensor

from srrs.core import losses
from srrs.core.labels import one_hot
from srrs.records import Floats, Group, Ints, NoiseEstimate, Partition


def joint_loss(log_probs: Tensor, soft: Tensor, agreement: float) -> Tensor:
    """Return the cross-entropies of two classifiers plus their weighted disagreement: (2, B, C), (B, C) -> (B,), >= 0.

    The published loss is `(1 - agreement) CE + agreement J`, where CE is the sum of the two cross-entropies and J the
    Jeffreys divergence of the two predictions. Here the loss is divided by `1 - agreement`, so that the cross-entropy
    has the same weight as in other methods. The scale of the loss matters for SGD, which srrs uses, but not for the
    published optimizer Adam. Raises ValueError unless there are two classifiers and 0 <= agreement < 1.

    Parameters
    ----------
    log_probs : (2, B, C) log-probabilities of the two classifiers.
    soft : (B, C) soft targets.
    agreement : weight of the disagreement J in the published loss.
    """
    if len(log_probs) != 2:
        raise ValueError(f"Expected two classifiers for the joint loss, but got {len(log_probs)}")
    if not 0 <= agreement < 1:
        raise ValueError(f"Expected agreement from 0 to below 1, but got {agreement}")
    first, second = log_probs
    fit = losses.soft_cross_entropy(first, soft) + losses.soft_cross_entropy(second, soft)
    return fit + agreement / (1 - agreement) * losses.jeffreys(first, second)


def small_joint(labels: Ints, first: Floats, second: Floats, *, noise_rate: float, agreement: float = 0.5) -> Partition:
    """Call the share `noise_rate` of samples with the largest joint loss noisy, and the others clean (JoCoR).

    `p_clean` is exp(-joint loss / 2): the geometric mean of the two probabilities of the given label, multiplied by a
    factor that is lower where the classifiers disagree. The estimated noise rate is `noise_rate`. Raises ValueError
    unless 0 <= noise_rate <= 1 and 0 <= agreement < 1.

    Parameters
    ----------
    labels : (N,) given labels.
    first, second : (N, C) logits of the two classifiers.
    noise_rate : share of samples that are called noisy.
    agreement : weight of the classifiers' disagreement in the joint loss.
    """
    check_rate(noise_rate)
    log_probs = torch.from_numpy(np.stack([first, second])).double().log_softmax(2)
    given = torch.from_numpy(one_hot(labels, log_probs.shape[2]))
    p_clean = np.exp(-joint_loss(log_probs, given, agreement).numpy() / 2)
    kept = count_kept(len(labels), noise_rate)
    least = np.sort(p_clean)[-kept] if kept else np.inf
    group = np.where(p_clean >= least, Group.CLEAN, Group.NOISY).astype(np.int8)
    return Partition(group, p_clean, NoiseEstimate(noise_rate, noise_rate, noise_rate))


def count_kept(count: int, noise_rate: float) -> int:
    """Return how many of `count` samples remain if the share `noise_rate` is left out."""
    return round((1 - noise_rate) * count)


def check_rate(noise_rate: float) -> None:
    """Raise ValueError unless the rate is between 0 and 1."""
    if not 0 <= noise_rate <= 1:
        raise ValueError(f"Expected noise_rate from 0 to 1, but got {noise_rate}")
