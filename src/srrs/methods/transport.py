"""Stages of TecoPrompt (Shao et al. 2026), which keep results of optimal transport in the memory, and a loss by group.

The transport plan is a matrix (N, C): the mass that each class gets from each sample. The *share* of a class in a
sample is its entry of the plan, divided by the sum of the row. N samples, C classes.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor

from srrs.core.labels import one_hot
from srrs.core.losses import generalized_cross_entropy
from srrs.methods.memory import votes
from srrs.methods.stages import LabeledBatch, Loss, Memory, Prepare, Rectify, Rescreen, Screen, reads
from srrs.records import Evidence, Floats, Group, Matched, Partition, Targets
from srrs.screening.optimal_transport import Cost, by_confidence, plan_belief, transport_plan
from srrs.screening.predictions import mean_probs

CLASSES, CONFIDENCE, AVERAGE, TAUGHT = "transport_classes", "transport_confidence", "transport_average", "taught"
"""Keys of TecoPrompt's memory. CLASSES: (window, N) class with the largest share in each of the last plans. CONFIDENCE:
(window, N) these shares. AVERAGE: (N,) running average of these shares over all screenings. TAUGHT: (N,) target labels,
which are the given labels at first."""


def temporal_transport(
    reg: float = 0.01,
    window: int = 4,
    momentum: float = 0.64,
    sure: float = 0.8,
    unsure: float = 0.2,
    cost: Cost = "probability",
) -> Screen:
    """Return the stage that splits the samples by the running average of their largest share (TecoPrompt).

    `reg` and `cost` are those of `srrs.screening.optimal_transport.transport_plan`. `momentum` is the weight of the
    previous average. See `srrs.screening.optimal_transport.by_confidence` for the groups, `sure` and `unsure`. For the
    stage `rewritten`, the memory keeps the results of the last `window` screenings.
    """

    @reads("logits")
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        labels = evidence.labels
        probs = mean_probs(votes(evidence))
        plan = transport_plan(probs, reg=reg, cost=cost)
        # Running average of the largest share of each sample
        found, share = plan.argmax(1), softmax(plan, axis=1).max(1)
        average = momentum * memory.get(AVERAGE, share) + (1 - momentum) * share
        taught = memory.get(TAUGHT, labels)
        p_clean = plan_belief(plan, probs, labels, reg=reg, cost=cost)
        partition = by_confidence(labels, plan, average, p_clean, taught=taught, sure=sure, unsure=unsure)
        kept = {name: _push(memory, name, new, window) for name, new in ((CLASSES, found), (CONFIDENCE, share))}
        return partition, {**memory, **kept, AVERAGE: average, TAUGHT: taught}

    return screen


def rewritten(certain: float = 0.99) -> Rectify:
    """Return the stage that replaces given labels permanently by a class with stable, large shares (TecoPrompt).

    The label of a sample is replaced if the same class had the largest share in each of the last screenings, and this
    share was at least `certain` each time. The number of these screenings is the argument `window` of
    `temporal_transport`, which must be the screening stage; otherwise the stage raises ValueError. No label is replaced
    before this number of screenings is reached.
    """

    @reads()
    def rectify(evidence: Evidence, partition: Partition, memory: Memory) -> tuple[Targets, Memory]:
        classes = _of(memory, CLASSES)
        stable = (classes == classes[-1]).all(0) & (memory[CONFIDENCE] >= certain).all(0)
        taught = np.where(stable, classes[-1], memory[TAUGHT]).astype(np.int64)
        soft = one_hot(taught, evidence.classes)
        return Targets(soft, np.ones(len(soft))), {**memory, TAUGHT: taught}

    return rectify


def steady_plan(sure: float = 0.8) -> Rescreen:
    """Return the stage that matches a rectified label if its class has the largest share in the plan (TecoPrompt).

    The running average of the largest share must also be at least `sure`. The screening stage must be
    `temporal_transport`; otherwise the stage raises ValueError. An image-text matcher is not used.
    """

    @reads()
    def rescreen(evidence: Evidence, partition: Partition, targets: Targets, memory: Memory) -> tuple[Matched, Memory]:
        is_match = (_of(memory, CLASSES)[-1] == targets.hard) & (memory[AVERAGE] >= sure)
        return Matched(is_match, np.full(len(is_match), np.nan)), memory

    return rescreen


def matched_as_clean() -> Prepare:
    """Return the `prepare` stage that treats a sample as clean if its rectified label is matched."""

    def prepare(batch: LabeledBatch, generator: np.random.Generator) -> LabeledBatch:
        return replace(batch, group=torch.where(batch.is_match, int(Group.CLEAN), batch.group))

    return prepare


def by_group(clean: float = 0.0, ambiguous: float = 1.0, noisy: float = 1.0) -> Loss:
    """Return the sum of the tuners' generalized cross-entropies, with an exponent q for each group of screening.

    `clean`, `ambiguous` and `noisy` are the exponents. q = 0 is cross-entropy, q = 1 is mean absolute error. Images of
    no class have the exponent `noisy`.
    """

    def loss(logits: Tensor, batch: LabeledBatch) -> Tensor:
        exponents = {Group.CLEAN: clean, Group.AMBIGUOUS: ambiguous, Group.NOISY: noisy, Group.OUTSIDE: noisy}
        per_sample = torch.zeros_like(batch.weight)
        for log_probs in logits.log_softmax(2):
            for group, q in exponents.items():
                per_sample = per_sample + (batch.group == group) * generalized_cross_entropy(log_probs, batch.soft, q)
        return (per_sample * batch.weight).sum() / batch.weight.sum().clamp(min=1e-6)

    return loss


def _push(memory: Memory, name: str, values: np.ndarray, count: int) -> Floats:
    """Return the values (count, N) of the last `count` screenings; NaN for screenings that do not exist yet."""
    past = memory.get(name, np.full((count, len(values)), np.nan))
    return np.concatenate([past, values[None]])[-count:]


def _of(memory: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Return an array of the memory. Raises ValueError if the screening stage is not `temporal_transport`."""
    if name not in memory:
        raise ValueError("the stages of TecoPrompt need temporal_transport() as their screening")
    return memory[name]
