"""Screening stages that do not read the logits of tuners: they read features, class vectors or zero-shot predictions.

Each calls a rule of `srrs.screening`, which works on arrays, with fields of the evidence. Every function here returns a
stage of the type `srrs.methods.stages.Screen`. `strength` is the parameter C of logistic regression in scikit-learn,
`fold_count` the number of folds, and `seed` the seed of the folds or of the mixtures.
"""

from typing import Literal

import numpy as np

from srrs.core.confident import canonical, linear_probe, out_of_fold_probs
from srrs.methods.memory import given
from srrs.methods.stages import Memory, Screen, reads
from srrs.records import Evidence, Floats, Group, Partition
from srrs.screening import clipcleaner, confident, corrected, multimodal, simifeat
from srrs.screening.common import counted_noise, of_given


def out_of_fold_probe(strength: float = 3.0, fold_count: int = 5, seed: int = 0) -> Screen:
    """Return the stage that calls every given label clean.

    `p_clean` is the out-of-fold probability of the given label by logistic regression on the features.
    """

    @reads("features")
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        p_clean = of_given(_out_of_fold(evidence, strength, fold_count, seed), evidence.labels)
        group = np.full(len(p_clean), Group.CLEAN, dtype=np.int8)
        return Partition(group, p_clean, counted_noise(p_clean, group)), memory

    return screen


def _out_of_fold(evidence: Evidence, strength: float, fold_count: int, seed: int) -> Floats:
    """Return out-of-fold predictions (N, C) of logistic regression on the features."""
    return out_of_fold_probs(
        given(evidence, "features"), evidence.labels, evidence.keys, evidence.classes,
        fold_count=fold_count, seed=seed, strength=strength,
    )  # fmt: skip


def confident_learning(strength: float = 3.0, fold_count: int = 5, seed: int = 0) -> Screen:
    """Return the stage that calls the issues of confident learning noisy, and all other samples clean.

    The predictions are those of a logistic regression on the features, out of fold. See `srrs.screening.confident`.
    """

    @reads("features")
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        probs, labels = _out_of_fold(evidence, strength, fold_count, seed), evidence.labels
        return confident.confident_learning(labels, probs, order=canonical(evidence.keys, labels)), memory

    return screen


def agreement(
    mixture: float = 0.5, consistency: tuple[float, float] = (0.8, 0.8), strength: float = 3.0, seed: int = 0
) -> Screen:
    """Return the stage that calls a label clean if zero-shot prediction and logistic regression both trust it.

    The rule is that of CLIPCleaner, see `srrs.screening.clipcleaner` for `mixture`. `consistency` has two ratios: for
    the zero-shot prediction, and for the logistic regression, which is fitted to the given labels with equal class
    weights.
    """

    @reads("zero_shot", "features")
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        features, labels = given(evidence, "features"), evidence.labels
        order = canonical(evidence.keys, labels)
        probe = linear_probe(
            features[order], labels[order], features, evidence.classes, strength=strength, balanced=True
        )
        return clipcleaner.agreement(
            labels, given(evidence, "zero_shot"), probe, mixture=mixture, consistency=consistency, seed=seed
        ), memory

    return screen


def lemon(k: int = 30) -> Screen:
    """Return the stage that calls a label noisy by its distances to the image and to neighbors of both (LEMoN).

    `k` is the number of neighbors. See `srrs.screening.multimodal`.
    """

    @reads("features", "class_vectors")
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        features, vectors = given(evidence, "features"), given(evidence, "class_vectors")
        order = canonical(evidence.keys, evidence.labels)
        return multimodal.lemon(evidence.labels, features, vectors, k=k, order=order), memory

    return screen


def simifeat_vote(k: int = 10) -> Screen:
    """Return the stage that calls a label noisy if another class has more votes in its neighborhood (SimiFeat-V).

    `k` labels vote. See `srrs.screening.simifeat`.
    """

    @reads("features")
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        labels, order = evidence.labels, canonical(evidence.keys, evidence.labels)
        return simifeat.simifeat_vote(labels, given(evidence, "features"), evidence.classes, k=k, order=order), memory

    return screen


def simifeat_rank(k: int = 10) -> Screen:
    """Return the stage that calls the labels with the lowest scores of each class noisy (SimiFeat-R).

    The score compares a label with the `k` labels in its neighborhood. The estimator HOC determines how many labels are
    noisy. See `srrs.screening.simifeat`.
    """

    @reads("features")
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        labels, order = evidence.labels, canonical(evidence.keys, evidence.labels)
        return simifeat.simifeat_rank(labels, given(evidence, "features"), evidence.classes, k=k, order=order), memory

    return screen


def forward_corrected(matrix: Literal["dual-t", "hoc"] = "hoc", strength: float = 3.0) -> Screen:
    """Return the stage that decides by forward correction with a transition matrix that HOC or Dual-T estimates.

    See `srrs.screening.corrected.forward_corrected`.
    """

    @reads("features")
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        partition = corrected.forward_corrected(
            evidence.labels, given(evidence, "features"), evidence.keys, evidence.classes,
            matrix=matrix, strength=strength,
        )  # fmt: skip
        return partition, memory

    return screen


def volminnet(volume: float = 1e-4, strength: float = 3.0) -> Screen:
    """Return the stage that decides by a classifier and a transition matrix of least volume, fitted together.

    See `srrs.screening.corrected.volminnet`.
    """

    @reads("features")
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        partition = corrected.volminnet(
            evidence.labels, given(evidence, "features"), evidence.keys, evidence.classes,
            volume=volume, strength=strength,
        )  # fmt: skip
        return partition, memory

    return screen


def mbem(rounds: int = 2, strength: float = 3.0) -> Screen:
    """Return the stage that decides by a classifier, which is fitted in turns with a confusion matrix (MBEM).

    See `srrs.screening.corrected.mbem`.
    """

    @reads("features")
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        partition = corrected.mbem(
            evidence.labels, given(evidence, "features"), evidence.keys, evidence.classes,
            rounds=rounds, strength=strength,
        )  # fmt: skip
        return partition, memory

    return screen
