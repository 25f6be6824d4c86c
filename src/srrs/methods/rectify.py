"""Rectifying stages: the label that each sample is learned with."""

import numpy as np
import torch
from torch import Tensor

from srrs.core.blocks import by_blocks, is_large
from srrs.core.labels import one_hot, three_way
from srrs.methods.memory import votes
from srrs.methods.stages import Memory, Rectify, reads
from srrs.records import Evidence, Floats, Group, Partition, Targets
from srrs.screening.predictions import mean_probs


def keep() -> Rectify:
    """Keep the given labels."""

    @reads()
    def rectify(evidence: Evidence, partition: Partition, memory: Memory) -> tuple[Targets, Memory]:
        return Targets(one_hot(evidence.labels, evidence.classes), np.ones(len(evidence.labels))), memory

    return rectify


def blend(sharpness: float = 2.0, weight: float | None = None) -> Rectify:
    """Rectify as in the published SRRS, by the group that screening gave a sample.

    - A clean sample keeps its label.
    - A noisy sample gets the mean prediction of the voters.
    - An ambiguous sample gets a blend of the two, weighted by `p_clean` or by one number `weight` (paper, Table 3).

    Blends and predictions are sharpened to the power `sharpness`, as in the released code.
    """

    @reads("logits")
    def rectify(evidence: Evidence, partition: Partition, memory: Memory) -> tuple[Targets, Memory]:
        n = len(evidence.labels)
        precision = np.float32 if is_large(n) else np.float64
        probs = mean_probs(votes(evidence))

        def of(rows: slice) -> dict[str, Tensor]:
            pseudo: Floats = probs[rows].astype(precision)
            trust = partition.p_clean[rows]
            share = trust if weight is None else np.full(len(pseudo), weight)
            soft = three_way(partition.group[rows], evidence.labels[rows], share, pseudo, sharpness)
            return {"soft": torch.from_numpy(soft)}

        soft = by_blocks(n, of)["soft"]
        return Targets(soft, np.ones(n)), memory

    return rectify


def posterior() -> Rectify:
    """Learn from the posterior of the true class, from a screening stage that models it.

    The rectified labels are those of the screening stage, or else the most probable classes. Images of no class
    (`OUTSIDE`) are not learned from.
    """

    @reads()
    def rectify(evidence: Evidence, partition: Partition, memory: Memory) -> tuple[Targets, Memory]:
        if partition.posterior is None:
            raise ValueError("rectifying by the posterior needs a screening stage that gives one, such as transition()")
        weight = np.where(partition.group == Group.OUTSIDE, 0.0, 1.0)
        return Targets(partition.posterior, weight, partition.rectified), memory

    return rectify
