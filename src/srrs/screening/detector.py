"""Screening by two detectors, one of correct and one of wrong labels (DeFT, Double Prompt Learners).

N samples, C classes.
"""

import numpy as np

from srrs.records import Floats, Ints, Partition
from srrs.screening.common import of_given, one_cut, two_groups


def by_detectors(labels: Ints, right: Floats, wrong: Floats, *, threshold: float = 0.5) -> Partition:
    """Call a label clean if two detectors give it a probability above `threshold` to be correct, else noisy.

    `right` and `wrong` are the logits (N, C) of the detector of correct labels and of the detector of wrong labels.
    `p_clean` is the softmax over the two logits of the given class (`labels`, (N,)). With the default `threshold`, a
    label is clean if the detector of correct labels has the higher logit.
    """
    margin = of_given(right, labels).astype(np.float64) - of_given(wrong, labels)
    p_clean = np.exp(-np.logaddexp(0, -margin))
    return two_groups(p_clean > threshold, p_clean, one_cut("p_clean", p_clean, threshold))
