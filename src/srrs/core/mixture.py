"""A mixture of two Gaussians on one number per sample."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from srrs.core.blocks import is_large

Floats = NDArray[np.floating]

BINS = 10_000
"""Number of bins of the histogram that replaces very many values."""


@dataclass(frozen=True)
class TwoGaussians:
    """A mixture of two Gaussians. The component with the lower mean ("low") comes first, the other is "high".

    If the high component has the weight 0, the values could not be separated into two components.
    """

    mean: Floats
    """(2,)"""
    std: Floats
    """(2,)"""
    weight: Floats
    """(2,) sums to 1."""


def normalize(values: Floats) -> Floats:
    """Return values (N,) scaled to 0..1 by their minimum and maximum. Constant values become 0."""
    values = np.asarray(values, np.float64)
    if values.size == 0 or _is_constant(values):
        return np.zeros_like(values)
    low = values.min()
    return np.asarray((values - low) / (values.max() - low))


def fit_two(
    values: Floats, seed: int, *, max_iter: int = 100, tol: float = 1e-3, reg_covar: float = 5e-4
) -> TwoGaussians:
    """Fit two Gaussians to values (N,) by expectation maximization (paper, Eq. 6-7).

    The result depends on the values and the seed, not on the order of the samples. Very many values (see
    `srrs.core.blocks`) are replaced by a histogram of 10,000 bins, which changes a mean by less than the width of a
    bin. For constant values, and for a single value, the high component gets the weight 0. `max_iter` and `tol` limit
    the EM iterations, and `reg_covar` is added to both variances. Raises ValueError if there are no values, or some are
    not finite.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"Expected values of shape (N,) with N > 0, but got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("Expected finite values, but some are not")
    if _is_constant(values):
        return TwoGaussians(np.full(2, values[0]), np.full(2, math.sqrt(reg_covar)), np.array([1.0, 0.0]))
    if is_large(values.size):
        return _fit_binned(values, seed, max_iter, tol, reg_covar)
    fit = GaussianMixture(2, random_state=seed, max_iter=max_iter, tol=tol, reg_covar=reg_covar)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # max_iter is a budget, as published
        fit.fit(np.sort(values)[:, None])
    order = np.argsort(fit.means_[:, 0], kind="stable")
    return TwoGaussians(
        mean=fit.means_[order, 0], std=np.sqrt(fit.covariances_[order, 0, 0]), weight=fit.weights_[order]
    )


def _fit_binned(values: Floats, seed: int, max_iter: int, tol: float, reg_covar: float) -> TwoGaussians:
    """Fit to a histogram as scikit-learn does: k-means, then EM until the likelihood rises by less than `tol`."""
    count, edges = np.histogram(values, BINS)
    x = ((edges[:-1] + edges[1:]) / 2)[count > 0]
    share = count[count > 0] / len(values)
    means = KMeans(2, n_init=1, random_state=seed).fit(x[:, None], sample_weight=share)
    fitted = _maximised(x, share[:, None] * np.eye(2)[means.labels_], reg_covar)
    before = -np.inf
    for _ in range(max_iter):
        z = (x[:, None] - fitted.mean) / fitted.std
        log_joint = np.log(fitted.weight / fitted.std) - z**2 / 2
        log_density = np.logaddexp(log_joint[:, 0], log_joint[:, 1])
        fitted = _maximised(x, share[:, None] * np.exp(log_joint - log_density[:, None]), reg_covar)
        after = float(share @ log_density)
        if abs(after - before) < tol:
            break
        before = after
    order = np.argsort(fitted.mean, kind="stable")
    return TwoGaussians(fitted.mean[order], fitted.std[order], fitted.weight[order])


def _maximised(x: Floats, mass: Floats, reg_covar: float) -> TwoGaussians:
    """Return the two Gaussians of values x (n,), which belong to them with the mass (n, 2), in no particular order."""
    weight = mass.sum(0) + np.finfo(np.float64).tiny
    mean = x @ mass / weight
    variance = (mass * (x[:, None] - mean) ** 2).sum(0) / weight + reg_covar
    return TwoGaussians(mean, np.sqrt(variance), weight / weight.sum())


def posterior_low(values: Floats, mixture: TwoGaussians) -> Floats:
    """Return the probability (N,) that each value belongs to the low component.

    If the components have different widths, the probability is not monotone: far below both means, the wider component
    is more probable.
    """
    z = (np.asarray(values, np.float64)[:, None] - mixture.mean) / mixture.std
    with np.errstate(divide="ignore"):
        log_density = np.log(mixture.weight) - np.log(mixture.std) - z**2 / 2
    odds = log_density[:, 0] - log_density[:, 1]
    return np.exp(-np.logaddexp(0, -odds))


def density_thresholds(mixture: TwoGaussians, theta: float) -> tuple[float, float]:
    """Return the lower and the upper bound of the ambiguous band (paper, Eq. 8-9).

    The bounds are the points at which the density of a component (without its weight) is `theta`: the right flank of
    the low component, and the left flank of the high component. If the peak of a component is below `theta`, its mean
    is used. If the high component has the weight 0, both bounds are the point of the low component. Raises ValueError
    unless theta > 0.
    """
    if theta <= 0:
        raise ValueError(f"Expected theta above 0, but got {theta}")
    reach = -2 * mixture.std**2 * np.log(theta * mixture.std * math.sqrt(2 * math.pi))
    reach = np.sqrt(np.maximum(reach, 0))
    from_low = float(mixture.mean[0] + reach[0])
    if mixture.weight[1] == 0:
        return from_low, from_low
    from_high = float(mixture.mean[1] - reach[1])
    return min(from_low, from_high), max(from_low, from_high)


def _is_constant(values: Floats) -> bool:
    """Return whether all values (N,) are equal, up to rounding."""
    return float(np.ptp(values)) <= 1e-9 * max(1.0, float(np.abs(values).max()))
