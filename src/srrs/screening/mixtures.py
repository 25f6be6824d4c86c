"""Screening by a mixture of two Gaussians on one loss per sample: the rule of the published SRRS, and a two-group rule.

N samples. The loss is scaled to 0..1 and averaged with `history` (K, N), the scaled losses of K earlier screenings.
"""

import numpy as np

from srrs.core.mixture import density_thresholds, fit_two, normalize, posterior_low
from srrs.records import Floats, Group, Partition, Thresholds
from srrs.screening.common import History, averaged, counted_noise, one_cut, two_groups


def gmm_bands(loss: Floats, *, theta: float = 0.01, history: History = (), seed: int = 0) -> Partition:
    """Split samples by their loss (N,) into clean, ambiguous and noisy, as in the published SRRS (paper, Eq. 6-9).

    The loss is scaled to 0..1 and averaged with `history`, as in the released code. A mixture of two Gaussians is
    fitted to the average. The two thresholds are the losses at which the density of one of the Gaussians is `theta`
    (see `srrs.core.mixture.density_thresholds`). `seed` initializes the mixture. Raises ValueError unless theta > 0.
    """
    score = averaged(normalize(loss), history)
    # Eq. 6-7: two Gaussians, and the posterior of the Gaussian with the lower mean
    mixture = fit_two(score, seed=seed)
    p_clean = posterior_low(score, mixture)
    # Eq. 8-9: where the density of each Gaussian falls to theta
    lower, upper = density_thresholds(mixture, theta)
    group = np.full(len(score), Group.AMBIGUOUS, dtype=np.int8)
    group[score < lower] = Group.CLEAN
    group[score >= upper] = Group.NOISY
    bounds = Thresholds("loss", np.array([lower]), np.array([upper]), score)
    return Partition(group, p_clean, counted_noise(p_clean, group), bounds)


def gmm_two_way(loss: Floats, *, threshold: float = 0.5, history: History = (), seed: int = 0) -> Partition:
    """Split samples by their loss (N,) into clean and noisy, without ambiguous ones (compared in the paper's Fig. 4).

    The mixture of two Gaussians is the same as in `gmm_bands`. A sample is clean if the Gaussian with the lower mean
    has a posterior probability of at least `threshold`.
    """
    score = averaged(normalize(loss), history)
    p_clean = posterior_low(score, fit_two(score, seed=seed))
    return two_groups(p_clean >= threshold, p_clean, one_cut("p_clean", p_clean, threshold))
