"""Screening by the agreement of two classifiers that text and images give (CLIPCleaner)."""

import numpy as np

from srrs.core.confident import canonical, linear_probe
from srrs.core.keyed import content_keys
from srrs.core.mixture import fit_two, normalise, posterior_low
from srrs.methods.screen import counted_noise
from srrs.methods.stages import Memory, Screen
from srrs.records import Bools, Evidence, Floats, Group, Ints, Partition


def agreement(mixture: float = 0.5, consistency: float = 0.8, strength: float = 3.0, seed: int = 0) -> Screen:
    """Clean is what zero-shot and a linear probe both trust, noisy what neither finds consistent (CLIPCleaner).

    A classifier trusts a label whose loss, scaled within its class, belongs to the low component of two Gaussians there
    with probability `mixture` at least, and whose probability is `consistency` of the highest one at least. A class
    left without a clean sample keeps its most trusted one. `p_clean` is the geometric mean, over both classifiers, of
    the chance of the given class against its strongest rival.

    `strength` is that of the probe, which has seen the labels, all classes weighing the same.
    """

    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        labels, classes = evidence.labels, evidence.zero_shot.shape[1]
        both = (evidence.zero_shot.astype(np.float64), _probe(evidence, strength))
        rival = [_against_rival(probs, labels) for probs in both]
        consistent = np.stack([r >= consistency / (1 + consistency) for r in rival])
        low = np.stack([_low_loss(probs, labels, seed) >= mixture for probs in both])
        p_clean = np.sqrt(rival[0] * rival[1])
        clean = _none_empty(np.all(consistent & low, axis=0), p_clean, labels, classes)
        group = np.where(consistent.any(0), Group.AMBIGUOUS, Group.NOISY).astype(np.int8)
        group[clean] = Group.CLEAN
        return Partition(group, p_clean, np.full((1, 2), 0.5), counted_noise(p_clean, group)), memory

    return screen


def _probe(evidence: Evidence, strength: float) -> Floats:
    order = canonical(content_keys(evidence.features), evidence.labels)
    seen, labels = evidence.features[order], evidence.labels[order]
    return linear_probe(seen, labels, evidence.features, evidence.zero_shot.shape[1], strength=strength, balanced=True)


def _against_rival(probs: Floats, labels: Ints) -> Floats:
    """`p_y / (p_y + p_k)` (N,) for the best other class k: above a half where the given class is the best."""
    rows = np.arange(len(labels))
    others = np.array(probs)
    others[rows, labels] = 0
    own, rival = probs[rows, labels] + 1e-12, others.max(1) + 1e-12
    return np.asarray(own / (own + rival))


def _low_loss(probs: Floats, labels: Ints, seed: int) -> Floats:
    """Probability (N,) that a label belongs to the component of low loss, class by class."""
    loss = -np.log(probs[np.arange(len(labels)), labels] + 1e-12)
    low = np.empty(len(labels))
    for k in np.unique(labels):
        scaled = normalise(loss[labels == k])
        low[labels == k] = posterior_low(scaled, fit_two(scaled, seed, reg_covar=1e-6))
    return low


def _none_empty(clean: Bools, p_clean: Floats, labels: Ints, classes: int) -> Bools:
    """`clean` with the most trusted sample of every class that has none."""
    best = np.zeros(classes)
    np.maximum.at(best, labels, p_clean)
    empty = np.bincount(labels[clean], minlength=classes) == 0
    return np.asarray(clean | (empty[labels] & (p_clean == best[labels])))
