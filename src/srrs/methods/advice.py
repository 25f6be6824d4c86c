"""Advisors: prompts that do not classify, but say whether a given label is right.

Two of them compete for every picture and class, one for right labels and one for wrong ones.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, one_hot

from srrs.core.losses import soft_cross_entropy
from srrs.methods.learn import generalised
from srrs.methods.screen import counted_noise
from srrs.methods.stages import Lesson, Loss, Memory, Screen
from srrs.records import Evidence, Group, Partition


def advised(right: int, wrong: int, threshold: float = 0.5) -> Screen:
    """`p_clean` is the chance of the learner `right` against the learner `wrong` at the given class.

    Clean above the threshold, else noisy. The learners are numbered as the method lists them.
    """

    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        if evidence.logits is None:
            raise ValueError("screening by advisors needs their logits: the method must set `voters`")
        rows = np.arange(len(evidence.labels))
        at_given = evidence.logits[rows, :, evidence.labels].astype(np.float64)
        p_clean = np.exp(-np.logaddexp(0, at_given[:, wrong] - at_given[:, right]))
        group = np.where(p_clean > threshold, Group.CLEAN, Group.NOISY).astype(np.int8)
        return Partition(group, p_clean, np.full((1, 2), threshold), counted_noise(p_clean, group)), memory

    return screen


def detecting() -> Loss:
    """DeFT: the positive prompts classify clean samples, the negative ones learn the threshold between clean and noisy.

    At the class of the sample (the predicted one, where it is not clean) the positive prompt shall win, and at every
    other class the negative one; no gradient of that reaches the positive prompts.
    """

    def loss(logits: Tensor, lesson: Lesson) -> Tensor:
        positive, negative = logits
        given, is_clean = lesson.soft.argmax(1), lesson.group == Group.CLEAN
        per_sample = is_clean * soft_cross_entropy(positive.log_softmax(1), lesson.soft)
        classified = (per_sample * lesson.weight).sum() / (is_clean * lesson.weight).sum().clamp(min=1e-6)
        margin = positive.detach() - negative
        believed = torch.where(is_clean, given, positive.argmax(1))[:, None]
        missed = -logsigmoid(margin).gather(1, believed).squeeze(1)
        alarms = -logsigmoid(-margin).scatter(1, given[:, None], 0.0).sum(1) / (margin.shape[1] - 1)
        detected = ((missed + alarms) * lesson.weight).sum() / lesson.weight.sum().clamp(min=1e-6)
        total: Tensor = classified + detected
        return total

    return loss


def discriminating(beta: float = 0.25, q: float = 0.0) -> Loss:
    """Double prompts: a classifier and a judge (prompts of clean, then of noisy photos) teach each other.

    The judge learns that a given label is clean where the classifier agrees with it. The classifier learns the judge's
    class where that one finds a clean photo, else the best of the noisy prompts' logits and the given label, mixed by
    `beta`.
    """
    base = generalised(q)

    def loss(logits: Tensor, lesson: Lesson) -> Tensor:
        classifier, clean, noisy = logits
        judge = torch.cat([clean, noisy], 1)
        classes = clean.shape[1]
        with torch.no_grad():
            agrees = (classifier.argmax(1) == lesson.soft.argmax(1))[:, None]
            verdict = torch.cat([lesson.soft * agrees, lesson.soft * ~agrees], 1)
            found, mixed = judge.argmax(1), (beta * noisy + (1 - beta) * lesson.soft).argmax(1)
            label = one_hot(torch.where(found < classes, found, mixed), classes).to(lesson.soft)
        return base(classifier[None], replace(lesson, soft=label)) + base(judge[None], replace(lesson, soft=verdict))

    return loss
