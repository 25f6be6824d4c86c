"""Rectifying stages for training on a part of the samples only. See `srrs.methods.stages.Rectify`."""

import numpy as np

from srrs.core.labels import one_hot
from srrs.methods.memory import given
from srrs.methods.stages import Memory, Rectify, reads
from srrs.records import Evidence, Group, Partition, Targets


def clean_alone() -> Rectify:
    """Return the stage that keeps the given labels, and gives all samples that are not clean the weight 0."""

    @reads()
    def rectify(evidence: Evidence, partition: Partition, memory: Memory) -> tuple[Targets, Memory]:
        weight = (partition.group == Group.CLEAN).astype(np.float64)
        return Targets(one_hot(evidence.labels, evidence.classes), weight), memory

    return rectify


def confident_zero_shot(per_class: int | None = None) -> Rectify:
    """Return the stage that replaces all labels by zero-shot predictions, and selects the most confident images.

    `per_class` images of each predicted class are kept, by default the mean number of samples per class. Images that
    are as confident as the last of these images are kept, too. All other samples have the weight 0. The given labels
    are not read.
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
