"""Screening by optimal transport: a label is right if the plan carries its sample to it (NLPrompt, TecoPrompt)."""

from typing import Literal

import numpy as np
from scipy.special import softmax

from srrs.core.transport import sinkhorn
from srrs.records import Floats, Group, Ints, Partition
from srrs.screening.common import counted_noise, of_given, two_groups

Cost = Literal["log", "probability"]
"""`-log P`, as the papers print it, or `-P`, as both released codes compute it."""


def transport_plan(probs: Floats, *, reg: float = 0.01, cost: Cost = "log") -> Floats:
    """Return the logarithm (N, C) of the plan from samples to classes of equal size; `probs` (N, C).

    `reg` is the weight of the entropy: with a small one, each sample is carried to hardly more than one class. Raises
    ValueError for an unknown cost.
    """
    if cost not in ("log", "probability"):
        raise ValueError(f"Expected the cost 'log' or 'probability', but got {cost!r}")
    probs = np.asarray(probs, np.float64)
    return sinkhorn(-probs if cost == "probability" else -np.log(np.maximum(probs, np.finfo(np.float32).tiny)), reg)


def transport(labels: Ints, probs: Floats, *, reg: float = 0.01, cost: Cost = "log") -> Partition:
    """Call a sample clean if the plan carries most of it to its given label, and noisy otherwise (NLPrompt)."""
    plan = transport_plan(probs, reg=reg, cost=cost)
    return two_groups(plan.argmax(1) == labels, plan_belief(plan, probs, labels, reg=reg, cost=cost))


def plan_belief(plan: Floats, probs: Floats, labels: Ints, *, reg: float, cost: Cost) -> Floats:
    """Return `p_clean` (N,), a probability of the given label that does not saturate as the plan does.

    With the cost `-log P` it is the power `reg` of the plan, normalized: the prediction after the plan has priced every
    class, which favors the plan's class. With the cost `-P` prices are differences of probabilities, which rank labels
    worse than the prediction (N, C) itself, so that is returned.
    """
    return of_given(softmax(reg * plan, axis=1) if cost == "log" else probs, labels)


def by_confidence(
    labels: Ints,
    plan: Floats,
    average: Floats,
    p_clean: Floats,
    *,
    taught: Ints,
    sure: float = 0.8,
    unsure: float = 0.2,
) -> Partition:
    """Split samples by the running average (N,) of the plan's largest share (TecoPrompt).

    A label is clean if it is the plan's class and the average is at least `sure`, ambiguous if the average is at least
    `unsure`, and noisy otherwise. A label that was rewritten (`taught` (N,) differs from it) is noisy.
    """
    fits = (plan.argmax(1) == labels) & (taught == labels)
    group = np.full(len(labels), Group.NOISY, dtype=np.int8)
    group[fits & (average >= unsure)] = Group.AMBIGUOUS
    group[fits & (average >= sure)] = Group.CLEAN
    return Partition(group, p_clean, counted_noise(p_clean, group))
