"""Screening stages that do not read the logits of tuners: they read features, class vectors or zero-shot predictions.

Each calls a rule of `srrs.screening`, which works on arrays, with fields of the evidence.
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
    """Call every given label clean. `p_clean` is its out-of-fold probability by logistic regression on the features.

    `strength` is the parameter C of the regression in scikit-learn.
    """

    @reads("features")
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        p_clean = of_given(_out_of_fold(evidence, strength, fold_count, seed), evidence.labels)
        group = np.full(len(p_clean), Group.CLEAN, dtype=np.int8)
        return Partition(group, p_clean, counted_noise(p_clean, group)), memory

    return screen


def _out_of_fold(evidence: Evidence, strength: float, fold_count: int, seed: int) -> Floats:
    return out_of_fold_probs(
        given(evidence, "features"), evidence.labels, evidence.keys, evidence.classes,
        fold_count=fold_count, seed=seed, strength=strength,
    )  # fmt: skip


def confident_learning(strength: float = 3.0, fold_count: int = 5, seed: int = 0) -> Screen:
    """Call the issues of confident learning noisy. See `srrs.screening.confident`.

    The predictions are those of a logistic regression on the features, out of fold. `strength` is its parameter C in
    scikit-learn.
    """

    @reads("features")
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        probs, labels = _out_of_fold(evidence, strength, fold_count, seed), evidence.labels
        return confident.confident_learning(labels, probs, order=canonical(evidence.keys, labels)), memory

    return screen


def agreement(
    mixture: float = 0.5, consistency: tuple[float, float] = (0.8, 0.8), strength: float = 3.0, seed: int = 0
) -> Screen:
    """Call a label clean if zero-shot prediction and a logistic regression both trust it (CLIPCleaner).

    See `srrs.screening.clipcleaner`. `consistency` holds two ratios, for the zero-shot prediction and for the logistic
    regression. The logistic regression is fitted to the given labels, with equal class weights; `strength` is its
    parameter C in scikit-learn.
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
    """Call a label noisy if it is far from the image, its neighbors, and the images of similar labels (LEMoN).

    `k` is the number of neighbors. See `srrs.screening.multimodal`.
    """

    @reads("features", "class_vectors")
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        features, vectors = given(evidence, "features"), given(evidence, "class_vectors")
        order = canonical(evidence.keys, evidence.labels)
        return multimodal.lemon(evidence.labels, features, vectors, k=k, order=order), memory

    return screen


def simifeat_vote(k: int = 10) -> Screen:
    """Call a label noisy if the majority of `k` labels in its neighborhood differs. See `srrs.screening.simifeat`."""

    @reads("features")
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        labels, order = evidence.labels, canonical(evidence.keys, evidence.labels)
        return simifeat.simifeat_vote(labels, given(evidence, "features"), evidence.classes, k=k, order=order), memory

    return screen


def simifeat_rank(k: int = 10) -> Screen:
    """Call the labels with the lowest scores of each class noisy. The estimator HOC gives their number.

    The score compares the label with the `k` labels in its neighborhood. See `srrs.screening.simifeat`.
    """

    @reads("features")
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        labels, order = evidence.labels, canonical(evidence.keys, evidence.labels)
        return simifeat.simifeat_rank(labels, given(evidence, "features"), evidence.classes, k=k, order=order), memory

    return screen


def forward_corrected(matrix: Literal["dual-t", "hoc"] = "hoc", strength: float = 3.0) -> Screen:
    """Decide by forward correction with a transition matrix that HOC or Dual-T estimates.

    See `srrs.screening.corrected`.
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
    """Decide by a classifier and a transition matrix of least volume, fitted together.

    See `srrs.screening.corrected`.
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
    """Decide by a classifier and a confusion matrix, which are fitted in turns (MBEM).

    See `srrs.screening.corrected`.
    """

    @reads("features")
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        partition = corrected.mbem(
            evidence.labels, given(evidence, "features"), evidence.keys, evidence.classes,
            rounds=rounds, strength=strength,
        )  # fmt: skip
        return partition, memory

    return screen
