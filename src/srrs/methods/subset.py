"""Rectifying stages that learn from a part of the samples only."""

import numpy as np

from srrs.core.labels import one_hot
from srrs.methods.memory import given
from srrs.methods.stages import Memory, Rectify, reads
from srrs.records import Evidence, Group, Partition, Targets


def clean_alone() -> Rectify:
    """Train with the given labels of the clean samples only. All other samples have the weight 0."""

    @reads()
    def rectify(evidence: Evidence, partition: Partition, memory: Memory) -> tuple[Targets, Memory]:
        weight = (partition.group == Group.CLEAN).astype(np.float64)
        return Targets(one_hot(evidence.labels, evidence.classes), weight), memory

    return rectify


def confident_zero_shot(per_class: int | None = None) -> Rectify:
    """Train with zero-shot predictions instead of the given labels, on the most confident images of each class only.

    `per_class` images of each predicted class are kept, by default the mean number of samples per class. Images that
    are as confident as the last of them are kept, too. All other samples have the weight 0.
    """

    @reads("zero_shot")
    def rectify(evidence: Evidence, partition: Partition, memory: Memory) -> tuple[Targets, Memory]:
        zero_shot, classes = given(evidence, "zero_shot"), evidence.classes
        label, confidence = zero_shot.argmax(1), zero_shot.max(1)
        wanted = per_class or max(1, len(label) // classes)
        bound = [np.sort(confidence[label == k])[::-1][:wanted].min(initial=1.0) for k in range(classes)]
        weight = (confidence >= np.array(bound)[label]).astype(np.float64)
        return Targets(one_hot(label, classes), weight), memory

    return rectify
