"""JoAPR's partition against the same thing put together by hand from scikit-learn and scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.mixture import GaussianMixture

from srrs.core.mixture import TwoGaussians
from srrs.records import Group
from srrs.screening.joapr import crossing, joint_thresholds

STD = st.floats(0.02, 0.5)


def losses(seed: int, n: int = 240) -> np.ndarray:
    """Four in five are low."""
    generator = np.random.default_rng(seed)
    return np.where(np.arange(n) % 5 == 0, generator.normal(4, 1, n), generator.normal(1, 0.4, n))


def scaled(loss: np.ndarray) -> np.ndarray:
    return (loss - loss.min()) / np.ptp(loss)


def by_hand(score: np.ndarray, rate_before: float) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Clean or not, posterior, first threshold and noise rate."""
    fit = GaussianMixture(2, random_state=0, max_iter=10, tol=1e-2, reg_covar=5e-4).fit(np.sort(score)[:, None])
    low, high = np.argsort(fit.means_[:, 0])
    mean, std = fit.means_[:, 0], np.sqrt(fit.covariances_[:, 0, 0])
    first = brentq(
        lambda x: norm.logpdf(x, mean[low], std[low]) - norm.logpdf(x, mean[high], std[high]), mean[low], mean[high]
    )
    posterior = fit.predict_proba(score[:, None])[:, low]
    rate = 1 - np.count_nonzero(posterior > rate_before) / len(score)
    return (score < first) | (posterior > rate), posterior, first, rate


def test_the_partition_is_a_scikit_learn_mixture_and_either_of_two_thresholds() -> None:
    rate, scores = 0.5, []
    for seed in range(7):
        found, rate_now = joint_thresholds(losses(seed), history=scores[-4:], rate=rate)
        scores.append(scaled(losses(seed)))
        clean, posterior, first, rate = by_hand(np.mean(scores[-5:], axis=0), rate)
        assert rate_now == pytest.approx(rate)
        np.testing.assert_array_equal(found.group == Group.CLEAN, clean)
        np.testing.assert_allclose(found.p_clean, posterior, atol=1e-9)
        np.testing.assert_allclose(found.thresholds.lower, first, atol=1e-9)
        np.testing.assert_allclose(found.thresholds.values, np.mean(scores[-5:], axis=0))
        assert set(found.group.tolist()) == {Group.CLEAN, Group.NOISY}


def test_losses_that_are_all_alike_are_all_clean() -> None:
    found, _ = joint_thresholds(np.full(9, 0.7))
    assert (found.group == Group.CLEAN).all()
    assert found.noise.rate == 0


@settings(max_examples=100, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), STD, STD)
def test_both_components_are_as_dense_where_they_cross(low: float, apart: float, narrow: float, wide: float) -> None:
    mixture = TwoGaussians(np.array([low, low + apart]), np.array([narrow, wide]), np.array([0.7, 0.3]))
    x = crossing(mixture)
    densities = norm.logpdf(x, mixture.mean, mixture.std)
    if apart > 1e-3 or abs(narrow - wide) > 1e-3:  # else they are one
        assert densities[0] == pytest.approx(densities[1], abs=1e-6)
    difference = norm.logpdf(mixture.mean, *(np.array([p[0]]) for p in (mixture.mean, mixture.std))) - norm.logpdf(
        mixture.mean, *(np.array([p[1]]) for p in (mixture.mean, mixture.std))
    )
    if difference[0] > 0 > difference[1]:  # each is the denser one at its own mean
        assert low <= x <= low + apart


def test_components_equally_wide_cross_halfway_and_equal_ones_at_their_mean() -> None:
    weight = np.array([0.5, 0.5])
    assert crossing(TwoGaussians(np.array([0.2, 0.6]), np.array([0.1, 0.1]), weight)) == pytest.approx(0.4)
    assert crossing(TwoGaussians(np.array([0.2, 0.2]), np.array([0.1, 0.1]), weight)) == 0.2
