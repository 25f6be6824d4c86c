"""Rectifying: the label each sample should be learned with."""

import numpy as np
import torch
from torch import Tensor

from srrs.core.blocks import by_blocks, is_large
from srrs.core.labels import one_hot, three_way
from srrs.methods.stages import Memory, Rectify
from srrs.records import Evidence, Partition, Targets


def keep() -> Rectify:
    """The given labels."""

    def rectify(evidence: Evidence, partition: Partition, memory: Memory) -> tuple[Targets, Memory]:
        n, classes = evidence.zero_shot.shape
        return Targets(one_hot(evidence.labels, classes), np.ones(n)), memory

    return rectify


def blend(sharpness: float = 2.0, weight: float | None = None) -> Rectify:
    """SRRS as published: clean keeps its label, noisy takes the learners' mean, ambiguous a blend by `p_clean`.

    Blends and pseudo-labels are sharpened to the power `sharpness`, as the released code does. `weight` blends by one
    number instead (paper, Table 3).
    """

    def rectify(evidence: Evidence, partition: Partition, memory: Memory) -> tuple[Targets, Memory]:
        n = len(evidence.labels)
        precision = np.float32 if is_large(n) else np.float64

        def of(rows: slice) -> dict[str, Tensor]:
            pseudo, trust = evidence.probs[rows].mean(1, dtype=precision), partition.p_clean[rows]
            share = trust if weight is None else np.full(len(pseudo), weight)
            soft = three_way(partition.group[rows], evidence.labels[rows], share, pseudo, sharpness)
            return {"soft": torch.from_numpy(soft)}

        soft = by_blocks(n, of)["soft"]
        return Targets(soft, np.ones(n)), memory

    return rectify


def posterior() -> Rectify:
    """The posterior of the true class, from a screening stage that models it.

    Where the range of the noise estimate begins at 0, nothing shows that any label is wrong, and all are kept: clean
    data come to no harm.
    """

    given = keep()

    def rectify(evidence: Evidence, partition: Partition, memory: Memory) -> tuple[Targets, Memory]:
        if partition.posterior is None:
            raise ValueError("rectifying by the posterior needs a screening stage that gives one, such as channel()")
        if partition.noise.low <= 0:
            return given(evidence, partition, memory)
        return Targets(partition.posterior, np.ones(len(partition.posterior))), memory

    return rectify
