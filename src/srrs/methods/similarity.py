"""Screening by a similarity that shifts from the pictures of a class to its prompts (Robust Similarity)."""

import numpy as np

from srrs.core.mixture import fit_two, posterior_low
from srrs.methods.screen import counted_noise
from srrs.methods.stages import Memory, Screen
from srrs.records import Evidence, Floats, Group, Ints, Partition

EPOCHS = 50
"""What the published schedule counts in."""


def robust_similarity(rounds: int = 25, threshold: float = 0.5, seed: int = 0) -> Screen:
    """Two Gaussians, class by class, on a mixture of prompt similarity and closeness to the pictures labelled alike.

    The prompts weigh `0.2 exp(epoch / 35)`, from 0.2 to 0.83 over the `rounds` screenings of a run; the pictures weigh
    the rest. Both are standardised within the class. Clean from `threshold` of the similar component on, else noisy.
    """

    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        count = memory.get("similarity_screenings", np.zeros(1, np.int64))
        weight = min(1.0, 0.2 * np.exp(float(count[0]) / rounds * EPOCHS / 35))
        believed = -np.log(evidence.probs.mean(1)[np.arange(len(evidence.labels)), evidence.labels] + 1e-12)
        dissimilar = weight * _standardised(believed, evidence.labels)
        dissimilar += (1 - weight) * _standardised(class_distances(evidence.features, evidence.labels), evidence.labels)
        p_clean = np.empty(len(dissimilar))
        for k in np.unique(evidence.labels):
            members = evidence.labels == k
            fit = fit_two(dissimilar[members], seed, max_iter=10, tol=1e-2)
            p_clean[members] = posterior_low(dissimilar[members], fit)
        group = np.where(p_clean >= threshold, Group.CLEAN, Group.NOISY).astype(np.int8)
        partition = Partition(group, p_clean, np.full((1, 2), threshold), counted_noise(p_clean, group))
        return partition, {**memory, "similarity_screenings": count + 1}

    return screen


def class_distances(features: Floats, labels: Ints, chunk: int = 512) -> Floats:
    """Mean Euclidean distance (N,) of each unit-length feature (N, D) to those that carry its label, itself included.

    Holds `chunk` times the size of a class at a time.
    """
    mean = np.empty(len(labels))
    for k in np.unique(labels):
        members = np.flatnonzero(labels == k)
        own = features[members].astype(np.float64)
        for start in range(0, len(members), chunk):
            rows = slice(start, start + chunk)
            mean[members[rows]] = np.sqrt(np.maximum(2 - 2 * own[rows] @ own.T, 0)).mean(1)
    return mean


def _standardised(values: Floats, labels: Ints) -> Floats:
    """Values (N,) less the mean of their class, over its standard deviation; 0 where all are alike."""
    result = np.zeros(len(values))
    for k in np.unique(labels):
        own = values[labels == k]
        spread = own.std()
        if spread > 1e-9:
            result[labels == k] = (own - own.mean()) / spread
    return result
