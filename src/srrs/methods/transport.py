"""Optimal transport decides: a label is right where the plan carries its sample to it (NLPrompt, TecoPrompt)."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from srrs.core.labels import one_hot
from srrs.core.losses import generalised_cross_entropy
from srrs.core.transport import sinkhorn
from srrs.methods.screen import counted_noise
from srrs.methods.stages import Lesson, Loss, Memory, Prepare, Rectify, Rescreen, Screen
from srrs.records import Evidence, Floats, Group, Matched, Partition, Targets

CLASSES, CONFIDENCE, AVERAGE, TAUGHT = "transport_classes", "transport_confidence", "transport_average", "taught"
"""What TecoPrompt remembers: (window, N) classes of the last plans and their confidence, (N,) its running average, and
the (N,) labels it teaches, the given ones until they are rewritten."""


def plan(evidence: Evidence, reg: float) -> Floats:
    """(N, C) logarithm of the plan from samples to classes; the cost is -log of the learners' mean prediction."""
    return sinkhorn(-np.log(np.maximum(evidence.probs.mean(1, dtype=np.float64), np.finfo(np.float32).tiny)), reg)


def transport(reg: float = 0.01) -> Screen:
    """NLPrompt: clean where the plan carries most of a sample to its given label, else noisy.

    `reg` is the weight of the entropy: a small one leaves each sample with hardly more than one class. `p_clean` is the
    mean prediction after the plan has priced every class, the power `reg` of the plan: it favours the same class, but
    does not saturate.
    """

    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        log_plan = plan(evidence, reg)
        group = np.where(log_plan.argmax(1) == evidence.labels, Group.CLEAN, Group.NOISY)
        return _partition(group, reg * log_plan, evidence), memory

    return screen


def temporal_transport(
    reg: float = 0.01, window: int = 4, momentum: float = 0.64, sure: float = 0.8, unsure: float = 0.2
) -> Screen:
    """TecoPrompt: the plan's class, and how confident it has been, over screenings.

    A label is clean where it is the plan's class and the running average of the plan's largest share is at least
    `sure`; ambiguous where that is at least `unsure`; else noisy, and noisy, too, once it was rewritten. The classes
    and shares of the last `window` screenings are kept for `rewritten`.
    """

    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        log_plan = plan(evidence, reg)
        found, confidence = log_plan.argmax(1), _rows_of(log_plan).max(1)
        average = momentum * memory.get(AVERAGE, confidence) + (1 - momentum) * confidence
        taught = memory.get(TAUGHT, evidence.labels)
        fits = (found == evidence.labels) & (taught == evidence.labels)
        group = np.full(len(found), Group.NOISY)
        group[fits & (average >= unsure)] = Group.AMBIGUOUS
        group[fits & (average >= sure)] = Group.CLEAN
        kept = {name: _push(memory, name, new, window) for name, new in ((CLASSES, found), (CONFIDENCE, confidence))}
        return _partition(group, reg * log_plan, evidence), {**memory, **kept, AVERAGE: average, TAUGHT: taught}

    return screen


def rewritten(certain: float = 0.99) -> Rectify:
    """TecoPrompt: a label becomes the plan's class, for good, after a whole window of that one class and certainty.

    Certain is a largest share of at least `certain`. Needs `temporal_transport` to screen.
    """

    def rectify(evidence: Evidence, partition: Partition, memory: Memory) -> tuple[Targets, Memory]:
        classes = _of(memory, CLASSES)
        stable = (classes == classes[-1]).all(0) & (memory[CONFIDENCE] >= certain).all(0)
        taught = np.where(stable, classes[-1], memory[TAUGHT]).astype(np.int64)
        soft = one_hot(taught, evidence.zero_shot.shape[1])
        return Targets(soft, np.ones(len(soft))), {**memory, TAUGHT: taught}

    return rectify


def confident(sure: float = 0.8) -> Rescreen:
    """TecoPrompt: matched where the rectified label is the plan's class, and the plan has been at least `sure`.

    Needs `temporal_transport` to screen. No matcher is asked.
    """

    def rescreen(evidence: Evidence, partition: Partition, targets: Targets, memory: Memory) -> tuple[Matched, Memory]:
        is_match = (_of(memory, CLASSES)[-1] == targets.hard) & (memory[AVERAGE] >= sure)
        return Matched(is_match, np.full(len(is_match), np.nan)), memory

    return rescreen


def matched_as_clean() -> Prepare:
    """Whatever its given label, a sample whose rectified label is well matched is learned as a clean one."""

    def prepare(lesson: Lesson, generator: np.random.Generator) -> Lesson:
        return replace(lesson, group=torch.where(lesson.is_match, int(Group.CLEAN), lesson.group))

    return prepare


def by_group(clean: float = 0.0, ambiguous: float = 1.0, noisy: float = 1.0) -> Loss:
    """Generalised cross-entropy of every learner, with an exponent q for each group: 0 is cross-entropy, 1 MAE."""

    def loss(logits: Tensor, lesson: Lesson) -> Tensor:
        exponents = {Group.CLEAN: clean, Group.AMBIGUOUS: ambiguous, Group.NOISY: noisy, Group.OUTSIDE: noisy}
        per_sample = torch.zeros_like(lesson.weight)
        for learner in logits.log_softmax(2):
            for group, q in exponents.items():
                per_sample = per_sample + (lesson.group == group) * generalised_cross_entropy(learner, lesson.soft, q)
        return (per_sample * lesson.weight).sum() / lesson.weight.sum().clamp(min=1e-6)

    return loss


def _rows_of(logs: Floats) -> Floats:
    """(N, C) exponentials, every row of which sums to 1."""
    top = np.exp(logs - logs.max(1, keepdims=True))
    rows: Floats = top / top.sum(1, keepdims=True)
    return rows


def _partition(group: np.ndarray, priced: Floats, evidence: Evidence) -> Partition:
    p_clean = _rows_of(priced)[np.arange(len(group)), evidence.labels]
    return Partition(group.astype(np.int8), p_clean, np.zeros((1, 2)), counted_noise(p_clean, group))


def _push(memory: Memory, name: str, values: np.ndarray, count: int) -> Floats:
    """The last `count` values (count, N), NaN where there are not so many yet."""
    past = memory.get(name, np.full((count, len(values)), np.nan))
    return np.concatenate([past, values[None]])[-count:]


def _of(memory: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in memory:
        raise ValueError("the stages of TecoPrompt need temporal_transport() as their screening")
    return memory[name]
