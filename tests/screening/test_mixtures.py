"""The mixture rules against the same thing put together by hand from scikit-learn and scipy."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.mixture import GaussianMixture

from srrs.records import Group
from srrs.screening.common import averaged, counted_noise
from srrs.screening.mixtures import gmm_bands, gmm_two_way


def two_humps(seed: int, n: int = 200) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.permutation(np.r_[generator.normal(1, 0.2, n), generator.normal(6, 1.0, n // 2)])


def by_hand(loss: np.ndarray, theta: float) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Group, p_clean and thresholds of losses in 0..1 (paper, Eq. 6-9)."""
    fit = GaussianMixture(2, random_state=0, max_iter=100, tol=1e-3, reg_covar=5e-4).fit(np.sort(loss)[:, None])
    low, high = np.argsort(fit.means_[:, 0])
    mean, std = fit.means_[:, 0], np.sqrt(fit.covariances_[:, 0, 0])
    right = brentq(lambda x: norm.pdf(x, mean[low], std[low]) - theta, mean[low], mean[low] + 9 * std[low])
    left = brentq(lambda x: norm.pdf(x, mean[high], std[high]) - theta, mean[high] - 9 * std[high], mean[high])
    lower, upper = sorted((right, left))
    group = np.where(loss < lower, Group.CLEAN, np.where(loss < upper, Group.AMBIGUOUS, Group.NOISY))
    return group, fit.predict_proba(loss[:, None])[:, low], (lower, upper)


@pytest.mark.parametrize("theta", [0.01, 0.5])
def test_bands_are_a_mixture_and_two_density_thresholds(theta: float) -> None:
    loss = two_humps(0)
    found = gmm_bands(loss, theta=theta)
    scaled = (loss - loss.min()) / np.ptp(loss)
    group, p_clean, thresholds = by_hand(scaled, theta)
    np.testing.assert_array_equal(found.group, group)
    np.testing.assert_allclose(found.p_clean, p_clean, atol=1e-9)
    np.testing.assert_allclose([*found.thresholds.lower, *found.thresholds.upper], thresholds, atol=1e-6)
    np.testing.assert_allclose(found.thresholds.values, scaled)
    assert found.thresholds.score == "loss"
    assert len(set(group.tolist())) > 1
    assert found.noise.low <= found.noise.rate <= found.noise.high


def test_history_is_averaged_with_the_scaled_loss() -> None:
    losses = np.array([two_humps(seed) for seed in range(3)])
    scaled = (losses - losses.min(1, keepdims=True)) / np.ptp(losses, axis=1)[:, None]
    group, p_clean, _ = by_hand(scaled.mean(0), theta=0.01)
    found = gmm_bands(losses[2], history=scaled[:2])
    np.testing.assert_array_equal(found.group, group)
    np.testing.assert_allclose(found.p_clean, p_clean, atol=1e-9)
    np.testing.assert_allclose(averaged(scaled[2], list(scaled[:2])), scaled.mean(0))


@pytest.mark.parametrize("rule", [gmm_bands, gmm_two_way])
def test_permuting_samples_permutes_the_partition(rule) -> None:
    loss, order = two_humps(1), np.random.default_rng(0).permutation(300)
    here, there = rule(loss), rule(loss[order])
    np.testing.assert_array_equal(there.group, here.group[order])
    np.testing.assert_allclose(there.p_clean, here.p_clean[order])


def test_two_groups_are_split_at_half_the_posterior_of_the_mixture_of_the_bands() -> None:
    loss = np.random.default_rng(0).gamma(2, size=300)
    two, three = gmm_two_way(loss), gmm_bands(loss)
    np.testing.assert_array_equal(two.p_clean, three.p_clean)
    np.testing.assert_array_equal(two.group == Group.CLEAN, two.p_clean >= 0.5)
    assert set(two.group) == {Group.CLEAN, Group.NOISY}
    assert (two.thresholds.score, two.thresholds.lower.tolist()) == ("p_clean", [0.5])


def test_losses_that_are_all_alike_are_all_clean() -> None:
    found = gmm_bands(np.full(9, 0.7))
    assert (found.group == Group.CLEAN).all()
    assert found.noise.rate == 0


def test_the_range_of_a_counted_rate_runs_from_the_noisy_to_all_that_are_not_clean() -> None:
    group = np.array([Group.CLEAN, Group.CLEAN, Group.AMBIGUOUS, Group.NOISY])
    noise = counted_noise(np.array([1.0, 0.8, 0.4, 0.2]), group)
    assert (noise.rate, noise.low, noise.high) == pytest.approx((0.4, 0.25, 0.5))
    far = counted_noise(np.full(4, 0.1), group)
    assert (far.low, far.high) == pytest.approx((0.25, 0.9))
