"""Screening by optimal transport: a correct label gets most of the sample's mass (NLPrompt, TecoPrompt)."""

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

    `reg` is the weight of the entropy: if it is small, nearly all mass of a sample goes to one class. Raises ValueError
    for an unknown cost.
    """
    if cost not in ("log", "probability"):
        raise ValueError(f"Expected the cost 'log' or 'probability', but got {cost!r}")
    probs = np.asarray(probs, np.float64)
    return sinkhorn(-probs if cost == "probability" else -np.log(np.maximum(probs, np.finfo(np.float32).tiny)), reg)


def transport(labels: Ints, probs: Floats, *, reg: float = 0.01, cost: Cost = "log") -> Partition:
    """Call a label clean if its class gets the largest entry of the sample's row of the plan, else noisy (NLPrompt)."""
    plan = transport_plan(probs, reg=reg, cost=cost)
    return two_groups(plan.argmax(1) == labels, plan_belief(plan, probs, labels, reg=reg, cost=cost))


def plan_belief(plan: Floats, probs: Floats, labels: Ints, *, reg: float, cost: Cost) -> Floats:
    """Return `p_clean` (N,), a probability of the given label that does not saturate as the plan does.

    With the cost `-log P` it is the plan to the power `reg`, normalized: the prediction, multiplied by one factor per
    class such that all classes get the same mass. With the cost `-P`, this power ranks labels worse than the prediction
    (N, C) itself, so the prediction is returned.
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
    """Split samples by `average`, the running average (N,) of the largest entry of each row of the plan (TecoPrompt).

    `plan` is its logarithm (N, C), and rows are scaled to sum to 1 for the average. A label is clean if it is the class
    with the largest entry and the average is at least `sure`, ambiguous if the average is at least
    `unsure`, and noisy otherwise. A label that was replaced (the target label `taught` (N,) differs from it) is noisy.
    """
    fits = (plan.argmax(1) == labels) & (taught == labels)
    group = np.full(len(labels), Group.NOISY, dtype=np.int8)
    group[fits & (average >= unsure)] = Group.AMBIGUOUS
    group[fits & (average >= sure)] = Group.CLEAN
    return Partition(group, p_clean, counted_noise(p_clean, group))
