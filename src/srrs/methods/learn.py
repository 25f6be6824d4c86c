"""Learning: what a step minimises, and which samples it sees."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from srrs.core import losses
from srrs.core.labels import mixup_pairs
from srrs.methods.stages import Lesson, Loss, Prepare

Divergence = Callable[[Tensor, Tensor], Tensor]
"""`(log_p (B, C), log_q (B, C)) -> (B,)`"""


def _weighted_mean(per_sample: Tensor, weight: Tensor) -> Tensor:
    return (per_sample * weight).sum() / weight.sum().clamp(min=1e-6)


def cross_entropy() -> Loss:
    """Soft cross-entropy of every learner (paper, Eq. 2)."""
    return generalised(0.0)


def generalised(q: float) -> Loss:
    """Generalised cross-entropy of every learner (Zhang and Sabuncu 2018): q = 0 is cross-entropy, q = 1 is MAE."""

    def loss(logits: Tensor, lesson: Lesson) -> Tensor:
        per_learner = [losses.generalised_cross_entropy(learner, lesson.soft, q) for learner in logits.log_softmax(2)]
        return _weighted_mean(torch.stack(per_learner).sum(0), lesson.weight)

    return loss


def co_regularised(
    q: float = 0.0,
    consistency: float = 0.5,
    prior: float = 1.0,
    confidence: float = 0.0,
    divergence: Divergence = losses.jeffreys,
) -> Loss:
    """The learners' losses, the first two's disagreement (paper, Eq. 3) and a pull of the mean prediction to uniform.

    `confidence` subtracts the learners' entropy, as the warm-up of JoAPR and of the released code does. The paper's
    formula is Jeffreys' divergence, its text speaks of Jensen and Shannon's.
    """
    base = generalised(q)

    def loss(logits: Tensor, lesson: Lesson) -> Tensor:
        total, weight, log_probs = base(logits, lesson), lesson.weight, logits.log_softmax(2)
        if len(log_probs) > 1 and consistency:
            total = total + consistency * _weighted_mean(divergence(log_probs[0], log_probs[1]), weight)
        for learner in log_probs:
            if prior:
                total = total + prior * losses.prior_penalty(learner)
            if confidence:
                total = total - confidence * _weighted_mean(losses.entropy(learner), weight)
        return total

    return loss


def paced(q: float = 0.25, consistency: float = 0.5) -> Loss:
    """Generalised cross-entropy at the pace of cross-entropy, and the first two learners' disagreement (Eq. 3).

    The gradient of generalised cross-entropy is that of cross-entropy times p^q. With many classes p is small at first,
    and everything learns slowly. So each learner's loss is divided by the step's mean of that factor: doubtful samples
    still count for less than others, and a step is as long as with cross-entropy.
    """
    base = generalised(q)

    def loss(logits: Tensor, lesson: Lesson) -> Tensor:
        log_probs = logits.log_softmax(2)
        total = logits.new_zeros(())
        for number, learner in enumerate(log_probs):
            factor = (lesson.soft * learner.detach().exp() ** q).sum(1)
            pace = _weighted_mean(factor, lesson.weight).clamp(min=1e-3)
            total = total + base(logits[number : number + 1], lesson) / pace
        if len(log_probs) > 1 and consistency:
            total = total + consistency * _weighted_mean(losses.jeffreys(log_probs[0], log_probs[1]), lesson.weight)
        return total

    return loss


def as_given() -> Prepare:
    """Every sample of the step, unmixed."""

    def prepare(lesson: Lesson, generator: np.random.Generator) -> Lesson:
        return lesson

    return prepare


def mixup_unmatched(alpha: float) -> Prepare:
    """Matched samples as they are; each other one mixed with a matched one, on features (paper, section 3.3).

    The weight of the sample itself is max(l, 1 - l), l ~ Beta(alpha, alpha).
    """

    def prepare(lesson: Lesson, generator: np.random.Generator) -> Lesson:
        partner, own = mixup_pairs(lesson.is_match.cpu().numpy(), alpha, generator)
        rows = torch.from_numpy(partner).to(lesson.features.device)
        share = torch.from_numpy(own).to(lesson.features)[:, None]
        return replace(
            lesson,
            features=share * lesson.features + (1 - share) * lesson.features[rows],
            soft=share * lesson.soft + (1 - share) * lesson.soft[rows],
        )

    return prepare
