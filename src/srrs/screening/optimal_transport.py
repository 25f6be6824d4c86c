"""Screening by optimal transport from samples to classes: a label is correct if it gets most of the sample's mass.

NLPrompt and TecoPrompt use it. The plan is a matrix (N, C): the mass that each class gets from each sample.
"""

from typing import Literal

import numpy as np
from scipy.special import softmax

from srrs.core.transport import sinkhorn
from srrs.records import Floats, Group, Ints, Partition
from srrs.screening.common import counted_noise, of_given, two_groups

Cost = Literal["log", "probability"]
"""`-log P`, as the papers print it, or `-P`, as both released codes compute it."""


def transport_plan(probs: Floats, *, reg: float = 0.01, cost: Cost = "log") -> Floats:
    """Return the logarithm (N, C) of the transport plan from samples to classes, in which all classes get equal mass.

    `probs` (N, C) are the predicted probabilities, from which the cost is computed. `reg` is the weight of the entropy:
    if it is small, nearly all mass of a sample goes to one class. Raises ValueError for an unknown cost.
    """
    if cost not in ("log", "probability"):
        raise ValueError(f"Expected the cost 'log' or 'probability', but got {cost!r}")
    probs = np.asarray(probs, np.float64)
    return sinkhorn(-probs if cost == "probability" else -np.log(np.maximum(probs, np.finfo(np.float32).tiny)), reg)


def transport(labels: Ints, probs: Floats, *, reg: float = 0.01, cost: Cost = "log") -> Partition:
    """Call a label clean if it has the largest entry in the row of its sample in the plan, else noisy (NLPrompt)."""
    plan = transport_plan(probs, reg=reg, cost=cost)
    return two_groups(plan.argmax(1) == labels, plan_belief(plan, probs, labels, reg=reg, cost=cost))


def plan_belief(plan: Floats, probs: Floats, labels: Ints, *, reg: float, cost: Cost) -> Floats:
    """Return `p_clean` (N,), a probability of the given label. The entries of the plan itself are nearly 0 or 1.

    With the cost `-log P`, `p_clean` comes from the plan to the power `reg`, normalized. This is the prediction,
    multiplied by one factor per class so that all classes get the same mass. With the cost `-P`, this power ranks
    labels worse than the prediction `probs` (N, C), so the prediction is used. `plan` is the logarithm of the plan.
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
    """Split samples into clean, ambiguous and noisy by the running average of their largest share (TecoPrompt).

    The share of a class is its entry in the row of a sample, divided by the sum of the row. A label is noisy if it was
    replaced or does not have the largest share of its sample. All other labels are clean if `average` is at least
    `sure`, ambiguous if it is at least `unsure`, and noisy if it is lower.

    Parameters
    ----------
    labels : (N,) given labels.
    plan : (N, C) logarithm of the plan.
    average : (N,) running average of the largest share over screenings.
    p_clean : (N,) probability that the given label is correct, for the result.
    taught : (N,) target labels; one that differs from the given label has been replaced.
    sure, unsure : lowest averages of clean and of ambiguous labels.
    """
    fits = (plan.argmax(1) == labels) & (taught == labels)
    group = np.full(len(labels), Group.NOISY, dtype=np.int8)
    group[fits & (average >= unsure)] = Group.AMBIGUOUS
    group[fits & (average >= sure)] = Group.CLEAN
    return Partition(group, p_clean, counted_noise(p_clean, group))
