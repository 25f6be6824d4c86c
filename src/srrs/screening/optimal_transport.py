"""Screening by optimal transport from samples to classes: a label is correct if its class gets most of the mass.

NLPrompt and TecoPrompt use this rule. The transport plan is a matrix (N, C): the mass that each class gets from each
sample. N samples, C classes.
"""

from typing import Literal

import numpy as np
from scipy.special import softmax

from srrs.core.transport import sinkhorn
from srrs.records import Floats, Group, Ints, Partition
from srrs.screening.common import counted_noise, of_given, two_groups

Cost = Literal["log", "probability"]
"""Cost of a class with the predicted probability P. "log" is `-log P`, as in the papers of NLPrompt and TecoPrompt;
"probability" is `-P`, as in the released code of both."""


def transport_plan(probs: Floats, *, reg: float = 0.01, cost: Cost = "log") -> Floats:
    """Return the logarithm (N, C) of the transport plan from samples to classes, in which all classes get equal mass.

    `probs` (N, C) are the predicted probabilities, from which the cost is computed. `reg` is the weight of the entropy
    of the plan: if `reg` is small, nearly all mass of a sample goes to one class. Raises ValueError for an unknown
    cost, and unless reg > 0.
    """
    if cost not in ("log", "probability"):
        raise ValueError(f"Expected the cost 'log' or 'probability', but got {cost!r}")
    probs = np.asarray(probs, np.float64)
    return sinkhorn(-probs if cost == "probability" else -np.log(np.maximum(probs, np.finfo(np.float32).tiny)), reg)


def transport(labels: Ints, probs: Floats, *, reg: float = 0.01, cost: Cost = "log") -> Partition:
    """Call a label clean if its class gets the most mass of its sample in the transport plan, else noisy (NLPrompt).

    `labels` (N,) are the given labels. See `transport_plan` for the other arguments and the errors.
    """
    plan = transport_plan(probs, reg=reg, cost=cost)
    return two_groups(plan.argmax(1) == labels, plan_belief(plan, probs, labels, reg=reg, cost=cost))


def plan_belief(plan: Floats, probs: Floats, labels: Ints, *, reg: float, cost: Cost) -> Floats:
    """Return `p_clean` (N,), the probability of each given label (N,). The plan itself has entries near 0 and 1 only.

    With the cost "log", `p_clean` is the entry of `plan^reg`, with rows that are divided by their sums. This is the
    prediction, multiplied by one factor per class. With the cost "probability", such a power ranks labels worse than
    the prediction `probs` (N, C), so `p_clean` is the prediction. The argument `plan` (N, C) is the logarithm of the
    plan.
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

    The share of a class in a sample is its entry of the transport plan, divided by the sum of the row. A label is noisy
    if it has been replaced, or if its class does not have the largest share. Any other label is clean if `average` is
    at least `sure`, ambiguous if `average` is at least `unsure`, and noisy otherwise.

    Parameters
    ----------
    labels : (N,) given labels.
    plan : (N, C) logarithm of the plan.
    average : (N,) running average, over screenings, of the largest share.
    p_clean : (N,) probability that the given label is correct, which becomes `p_clean` of the partition.
    taught : (N,) target labels. A given label that differs from its target label has been replaced.
    sure, unsure : lowest averages of clean and of ambiguous labels.
    """
    fits = (plan.argmax(1) == labels) & (taught == labels)
    group = np.full(len(labels), Group.NOISY, dtype=np.int8)
    group[fits & (average >= unsure)] = Group.AMBIGUOUS
    group[fits & (average >= sure)] = Group.CLEAN
    return Partition(group, p_clean, counted_noise(p_clean, group))
