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
    return two_groups(plan.argmax(1) == labels, plan_belief(plan, labels, reg=reg, cost=cost))


def plan_belief(plan: Floats, labels: Ints, *, reg: float, cost: Cost) -> Floats:
    """Return `p_clean` (N,) from a plan (N, C): the prediction for the given class after the plan has priced classes.

    With the cost `-log P` that is the power `reg` of the plan, normalized. With the cost `-P` it is `(1 + m) / 2` of
    the margin m by which the priced probability of the given class exceeds that of the best other class. Both favor
    the plan's class and do not saturate as the plan does.
    """
    priced = reg * plan
    if cost == "log":
        return of_given(softmax(priced, axis=1), labels)
    others = np.array(priced)
    others[np.arange(len(labels)), labels] = -np.inf
    return np.asarray(np.clip((1 + of_given(priced, labels) - others.max(1)) / 2, 0, 1))


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
