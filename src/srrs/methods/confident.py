"""Screening by confident learning on the image features."""

import numpy as np

from srrs.core.confident import canonical, confident_joint, label_issues, out_of_fold_probs
from srrs.core.keyed import content_keys
from srrs.methods.stages import Memory, Screen
from srrs.records import Evidence, Group, NoiseEstimate, Partition


def confident(strength: float = 3.0, fold_count: int = 5, seed: int = 0) -> Screen:
    """Noisy are the issues of confident learning (Northcutt et al. 2021), all else is clean.

    `p_clean` is the self-confidence: what a linear probe of the features that never saw the label thinks of it. The
    rate is that of the confident joint, in a range from the share of issues to the mean lack of self-confidence.
    """

    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        keys, labels, classes = content_keys(evidence.features), evidence.labels, evidence.zero_shot.shape[1]
        probs = out_of_fold_probs(
            evidence.features, labels, keys, classes, fold_count=fold_count, seed=seed, strength=strength
        )
        order = canonical(keys, labels)
        joint = confident_joint(probs[order], labels[order])
        group = np.full(len(labels), Group.CLEAN, dtype=np.int8)
        group[order[label_issues(probs[order], labels[order], joint)]] = Group.NOISY
        p_clean = probs[np.arange(len(labels)), labels]
        rate = float(1 - np.trace(joint) / joint.sum())
        low, high = float((group == Group.NOISY).mean()), float(1 - p_clean.mean())
        noise = NoiseEstimate(rate, min(low, rate), max(high, rate))
        return Partition(group, p_clean, np.zeros((1, 2)), noise), memory

    return screen
