"""Confident learning (Northcutt et al. 2021) as a screening rule."""

import numpy as np

from srrs.core.confident import confident_joint, label_issues
from srrs.records import Floats, Group, Ints, NoiseEstimate, Partition
from srrs.screening.common import of_given


def confident_learning(labels: Ints, pred_probs: Floats, *, order: Ints | None = None) -> Partition:
    """Call the issues of confident learning noisy and all other samples clean.

    `p_clean` is the self-confidence, the probability of the given label. The estimated noise rate is that of the
    confident joint. Its range lies between the share of issues and the mean of `1 - p_clean`.

    Parameters
    ----------
    pred_probs : (N, C) out-of-fold predictions.
    order : (N,) samples in the order that breaks ties; by default the order of the rows.
    """
    order = np.arange(len(labels)) if order is None else order
    joint = confident_joint(pred_probs[order], labels[order])
    group = np.full(len(labels), Group.CLEAN, dtype=np.int8)
    group[order[label_issues(pred_probs[order], labels[order], joint)]] = Group.NOISY
    p_clean = of_given(pred_probs, labels)
    rate = float(1 - np.trace(joint) / joint.sum())
    low, high = float((group == Group.NOISY).mean()), float(1 - p_clean.mean())
    return Partition(group, p_clean, NoiseEstimate(rate, min(low, rate), max(high, rate)))
