"""Screening by the agreement of two classifiers (CLIPCleaner, Feng et al. 2024)."""

from collections.abc import Sequence

import numpy as np

from srrs.core.mixture import fit_two, normalize, posterior_low
from srrs.records import Bools, Floats, Group, Ints, Partition
from srrs.screening.common import counted_noise, of_given


def agreement(
    labels: Ints,
    zero_shot: Floats,
    probe: Floats,
    *,
    mixture: float = 0.5,
    consistency: Sequence[float] = (0.8, 0.8),
    seed: int = 0,
) -> Partition:
    """Call a label clean if both classifiers trust it, and noisy if it is consistent for neither classifier.

    The rule is that of CLIPCleaner (Feng et al. 2024). All other labels are ambiguous.

    A label is consistent for a classifier if its probability is at least `consistency` times the highest probability of
    the sample. A classifier trusts a label that is consistent and has a small loss. The loss is small if a mixture of
    two Gaussians, fitted to the losses of the same given class (scaled to 0..1), gives its component with the lower
    mean a probability of at least `mixture`. If no label of a class is clean, the label with the highest `p_clean` is
    called clean. `p_clean` is the geometric mean, over both classifiers, of `p_y / (p_y + p_k)`, where y is the given
    class and k the most probable other class.

    Parameters
    ----------
    labels : (N,) given labels.
    zero_shot : (N, C) probabilities of the zero-shot prediction.
    probe : (N, C) probabilities of a classifier that was trained on the labels.
    mixture : least probability of the component with the lower mean.
    consistency : two ratios: for `zero_shot`, and for `probe`. Any other number of ratios raises ValueError.
    seed : initializes the mixtures.
    """
    both = zero_shot.astype(np.float64), probe.astype(np.float64)
    rival = [_against_rival(probs, labels) for probs in both]
    consistent = np.stack([r >= ratio / (1 + ratio) for r, ratio in zip(rival, consistency, strict=True)])
    low = np.stack([_low_loss(probs, labels, seed) >= mixture for probs in both])
    p_clean = np.sqrt(rival[0] * rival[1])
    clean = _none_empty(np.all(consistent & low, axis=0), p_clean, labels, zero_shot.shape[1])
    group = np.where(consistent.any(0), Group.AMBIGUOUS, Group.NOISY).astype(np.int8)
    group[clean] = Group.CLEAN
    return Partition(group, p_clean, counted_noise(p_clean, group))


def _against_rival(probs: Floats, labels: Ints) -> Floats:
    """Return `p_y / (p_y + p_k)` (N,) for the most probable other class k. It is above 0.5 if y is the prediction."""
    others = np.array(probs)
    others[np.arange(len(labels)), labels] = 0
    own, rival = of_given(probs, labels) + 1e-12, others.max(1) + 1e-12
    return np.asarray(own / (own + rival))


def _low_loss(probs: Floats, labels: Ints, seed: int) -> Floats:
    """Return the probability (N,) that the loss of a label belongs to the low component of its class's mixture."""
    loss = -np.log(of_given(probs, labels) + 1e-12)
    low = np.empty(len(labels))
    for k in np.unique(labels):
        scaled = normalize(loss[labels == k])
        low[labels == k] = posterior_low(scaled, fit_two(scaled, seed, reg_covar=1e-6))
    return low


def _none_empty(clean: Bools, p_clean: Floats, labels: Ints, classes: int) -> Bools:
    """Return `clean` (N,), extended in each class without a clean sample by the samples with the highest `p_clean`."""
    best = np.zeros(classes)
    np.maximum.at(best, labels, p_clean)
    empty = np.bincount(labels[clean], minlength=classes) == 0
    return np.asarray(clean | (empty[labels] & (p_clean == best[labels])))
