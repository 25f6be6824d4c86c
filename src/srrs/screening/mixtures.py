"""Screening by a mixture of two Gaussians on one loss per sample: SRRS as published, and its two-group rival.

`history` holds the scaled losses of earlier screenings, which are averaged with the present ones.
"""

import numpy as np

from srrs.core.mixture import density_thresholds, fit_two, normalize, posterior_low
from srrs.records import Floats, Group, Partition, Thresholds
from srrs.screening.common import History, averaged, counted_noise, one_cut, two_groups


def gmm_bands(loss: Floats, *, theta: float = 0.01, history: History = (), seed: int = 0) -> Partition:
    """Split samples by loss (N,) into clean, ambiguous and noisy: SRRS as published (paper, Eq. 6-9).

    The loss is scaled to 0..1 and averaged with `history`, as the released code does. `theta` is the density at which
    the two components are cut.
    """
    score = averaged(normalize(loss), history)
    # Eq. 6-7: two Gaussians and the posterior of the low one
    mixture = fit_two(score, seed=seed)
    p_clean = posterior_low(score, mixture)
    # Eq. 8-9: where each density falls to theta
    lower, upper = density_thresholds(mixture, theta)
    group = np.full(len(score), Group.AMBIGUOUS, dtype=np.int8)
    group[score < lower] = Group.CLEAN
    group[score >= upper] = Group.NOISY
    bounds = Thresholds("loss", np.array([lower]), np.array([upper]), score)
    return Partition(group, p_clean, counted_noise(p_clean, group), bounds)


def gmm_two_way(loss: Floats, *, threshold: float = 0.5, history: History = (), seed: int = 0) -> Partition:
    """Split samples by loss (N,) into clean and noisy only, as the paper's Fig. 4 compares.

    A sample is clean if its posterior in the same mixture as `gmm_bands` is at least `threshold`.
    """
    score = averaged(normalize(loss), history)
    p_clean = posterior_low(score, fit_two(score, seed=seed))
    return two_groups(p_clean >= threshold, p_clean, one_cut("p_clean", p_clean, threshold))
