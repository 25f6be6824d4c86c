"""Rectifying stages: they choose the label that each sample is trained with. See `srrs.methods.stages.Rectify`."""

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
    """Return the stage that keeps the given labels as training targets."""

    @reads()
    def rectify(evidence: Evidence, partition: Partition, memory: Memory) -> tuple[Targets, Memory]:
        return Targets(one_hot(evidence.labels, evidence.classes), np.ones(len(evidence.labels))), memory

    return rectify


def blend(sharpness: float = 2.0, weight: float | None = None) -> Rectify:
    """Return the stage that rectifies each sample by its group from screening, as in the published SRRS.

    - A clean sample keeps its label.
    - A noisy sample gets the mean prediction of the voters (the tuners with `votes=True`).
    - An ambiguous sample gets a weighted mean of the given label and that prediction. The weight of the given label is
      `p_clean`, or `weight` for all samples (paper, Table 3).

    Targets of noisy and ambiguous samples are raised to the power `sharpness` and normalized, as in the released code.
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
    """Return the stage that uses the posterior of the true class as the training target.

    The screening stage must return a posterior; otherwise the stage raises ValueError. The rectified labels are those
    of the screening stage if it returns some, and otherwise the most probable classes. Images of no class (`OUTSIDE`)
    have the weight 0 in training.
    """

    @reads()
    def rectify(evidence: Evidence, partition: Partition, memory: Memory) -> tuple[Targets, Memory]:
        if partition.posterior is None:
            raise ValueError("rectifying by the posterior needs a screening stage that gives one, such as transition()")
        weight = np.where(partition.group == Group.OUTSIDE, 0.0, 1.0)
        return Targets(partition.posterior, weight, partition.rectified), memory

    return rectify
