"""Label refurbishment and balanced steps of JoAPR (Guo and Gu 2024)."""

from dataclasses import replace

import numpy as np
import torch

from srrs.core.labels import one_hot, sharpen
from srrs.methods.memory import votes
from srrs.methods.stages import LabeledBatch, Memory, Prepare, Rectify, reads
from srrs.records import Evidence, Group, Partition, Targets
from srrs.screening.predictions import mean_probs


def refurbish(sharpness: float = 2.0) -> Rectify:
    """Return the stage that refurbishes all labels (JoAPR).

    The target of a clean sample is `w y + (1 - w) p`, with the given label y and the mean prediction p of the voters.
    The target of any other sample is p. Both targets are raised to the power `sharpness` and normalized. The weight w
    is `p_clean` times the mean probability of the given label.
    """

    @reads("logits")
    def rectify(evidence: Evidence, partition: Partition, memory: Memory) -> tuple[Targets, Memory]:
        probs = mean_probs(votes(evidence)).astype(np.float64)
        given = one_hot(evidence.labels, evidence.classes)
        trust = partition.p_clean * (given * probs).sum(1) * (partition.group == Group.CLEAN)
        soft = sharpen(trust[:, None] * given + (1 - trust[:, None]) * probs, sharpness)
        return Targets(soft, np.ones(len(soft))), memory

    return rectify


def balanced() -> Prepare:
    """Return the `prepare` stage that gives the clean samples the same total weight as all other samples (JoAPR).

    JoAPR draws equal numbers of clean and noisy samples for each step. Equal total weights have the same expectation.
    If all rows of a step are clean, or none, their weights do not change.
    """

    def prepare(batch: LabeledBatch, generator: np.random.Generator) -> LabeledBatch:
        clean = batch.group == Group.CLEAN
        of_clean, of_others = (batch.weight * clean).sum(), (batch.weight * ~clean).sum()
        if not (of_clean > 0 and of_others > 0):
            return batch
        half = (of_clean + of_others) / 2
        return replace(batch, weight=batch.weight * torch.where(clean, half / of_clean, half / of_others))

    return prepare
