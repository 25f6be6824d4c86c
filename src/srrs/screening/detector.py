"""Screening by a pair of detectors, one for right labels and one for wrong ones (DeFT, Double Prompt Learners)."""

import numpy as np

from srrs.records import Floats, Ints, Partition
from srrs.screening.common import of_given, one_cut, two_groups


def by_detectors(labels: Ints, right: Floats, wrong: Floats, *, threshold: float = 0.5) -> Partition:
    """Call a label clean if the detector of right labels has a higher logit for it than the detector of wrong labels.

    `right` and `wrong` are the logits (N, C) of the two detectors. `p_clean` is the softmax of the two logits at the
    given class. A label is clean if `p_clean` is at least `threshold`.
    """
    margin = of_given(right, labels).astype(np.float64) - of_given(wrong, labels)
    p_clean = np.exp(-np.logaddexp(0, -margin))
    return two_groups(p_clean > threshold, p_clean, one_cut("p_clean", p_clean, threshold))
