"""Confident learning (Northcutt et al. 2021) as a screening rule."""

import numpy as np

from srrs.core.confident import confident_joint, label_issues
from srrs.records import Floats, Group, Ints, NoiseEstimate, Partition
from srrs.screening.common import of_given


def confident_learning(labels: Ints, pred_probs: Floats, *, order: Ints | None = None) -> Partition:
    """Call the issues of confident learning (Northcutt et al. 2021) noisy, and all other samples clean.

    `p_clean` is the self-confidence, which is the predicted probability of the given label. The estimated noise rate is
    the share of the confident joint that is off the diagonal. The range of the estimate goes from the share of issues
    to the mean of `1 - p_clean`, and is extended to the rate if it does not contain the rate.

    Parameters
    ----------
    labels : (N,) given labels.
    pred_probs : (N, C) out-of-fold predictions.
    order : (N,) positions of the samples, in the order that breaks ties; by default 0 to N - 1.
    """
    order = np.arange(len(labels)) if order is None else order
    joint = confident_joint(pred_probs[order], labels[order])
    group = np.full(len(labels), Group.CLEAN, dtype=np.int8)
    group[order[label_issues(pred_probs[order], labels[order], joint)]] = Group.NOISY
    p_clean = of_given(pred_probs, labels)
    rate = float(1 - np.trace(joint) / joint.sum())
    low, high = float((group == Group.NOISY).mean()), float(1 - p_clean.mean())
    return Partition(group, p_clean, NoiseEstimate(rate, min(low, rate), max(high, rate)))
