"""Rectifying by leaving out: only a part of the samples teaches."""

import numpy as np

from srrs.core.labels import one_hot
from srrs.methods.stages import Memory, Rectify
from srrs.records import Evidence, Group, Partition, Targets


def clean_alone() -> Rectify:
    """The given labels of what screening calls clean; all else teaches nothing."""

    def rectify(evidence: Evidence, partition: Partition, memory: Memory) -> tuple[Targets, Memory]:
        weight = (partition.group == Group.CLEAN).astype(np.float64)
        return Targets(one_hot(evidence.labels, evidence.zero_shot.shape[1]), weight), memory

    return rectify


def confident_zero_shot(per_class: int | None = None) -> Rectify:
    """Zero-shot pseudo-labels, whatever was given: of each class the most confident ones, all else teaches nothing.

    `per_class` of them, by default as many as there are samples per class; equally confident ones stand together.
    """

    def rectify(evidence: Evidence, partition: Partition, memory: Memory) -> tuple[Targets, Memory]:
        n, classes = evidence.zero_shot.shape
        label, confidence = evidence.zero_shot.argmax(1), evidence.zero_shot.max(1)
        wanted = per_class or max(1, n // classes)
        bound = [np.sort(confidence[label == k])[::-1][:wanted].min(initial=1.0) for k in range(classes)]
        weight = (confidence >= np.array(bound)[label]).astype(np.float64)
        return Targets(one_hot(label, classes), weight), memory

    return rectify
