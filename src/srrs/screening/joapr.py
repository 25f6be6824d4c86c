"""The two joint thresholds of JoAPR (Guo and Gu 2024). N samples."""

import math

from srrs.core.mixture import TwoGaussians, fit_two, normalize, posterior_low
from srrs.records import Floats, Partition
from srrs.screening.common import History, averaged, one_cut, two_groups


def joint_thresholds(
    loss: Floats, *, history: History = (), rate: float = 0.5, seed: int = 0
) -> tuple[Partition, float]:
    """Split samples by their loss (N,) into clean and noisy. Return the partition and the new noise rate.

    The loss (in JoAPR, cross-entropy plus entropy) is scaled to 0..1 and averaged with `history`, and a mixture of two
    Gaussians is fitted to the average. A sample is clean if it meets at least one of two conditions: its average loss
    is below the point where both Gaussians have the same density; or the probability of the low Gaussian is above the
    new noise rate. The new noise rate is the share of samples for which this probability is at most the previous noise
    rate.

    Parameters
    ----------
    loss : (N,).
    history : (K, N) scaled losses of K earlier screenings.
    rate : noise rate that the previous screening returned; 0.5 at the first screening.
    seed : initializes the mixture.
    """
    score = averaged(normalize(loss), history)
    mixture = fit_two(score, seed, max_iter=10, tol=1e-2)
    # First threshold, on the score: where both Gaussians have the same density
    p_clean, threshold = posterior_low(score, mixture), crossing(mixture)
    # Second threshold, on the posterior: the new rate
    rate = float((p_clean <= rate).mean())
    clean = (score < threshold) | (p_clean > rate)
    return two_groups(clean, p_clean, one_cut("loss", score, threshold)), rate


def crossing(mixture: TwoGaussians) -> float:
    """Return the point where the two components have the same density (without their weights).

    Two components of different width have two such points. The result is the point between the means or, if no such
    point lies between the means, the point nearer to them. If the mixture has only one component, the result is its
    mean.
    """
    apart, ratio = mixture.mean[1] - mixture.mean[0], mixture.std[1] / mixture.std[0]
    # (ratio^2 - 1) x^2 + 2 apart x - c = 0, where x is counted from the low mean. This form of the root is also defined
    # for the ratio 1, where the equation is linear.
    c = apart**2 + 2 * mixture.std[1] ** 2 * math.log(ratio)
    divisor = apart + math.sqrt(apart**2 + (ratio**2 - 1) * c)
    return float(mixture.mean[0] + (c / divisor if divisor > 0 else 0))
