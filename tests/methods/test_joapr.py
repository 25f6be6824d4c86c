"""JoAPR's partition against the same thing put together by hand from scikit-learn and scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import entropy, norm
from sklearn.mixture import GaussianMixture

from srrs.core.mixture import TwoGaussians
from srrs.methods.joapr import crossing, joint_thresholds, refurbish
from srrs.records import Evidence, Group

STD = st.floats(0.02, 0.5)


def given_labels(evidence, seed: int, n: int = 240) -> Evidence:
    """One learner that believes four in five labels strongly and the others hardly."""
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % 4
    alpha = np.ones((n, 4))
    alpha[np.arange(n), np.where(np.arange(n) % 5 == 0, (labels + 1) % 4, labels)] += 12
    probs = np.array([generator.dirichlet(a) for a in alpha])
    loss = -np.log(probs[np.arange(n), labels])
    return evidence(probs=probs[:, None], labels=labels, loss=loss)


def scaled(found: Evidence) -> np.ndarray:
    score = found.loss + entropy(found.probs[:, 0], axis=1)
    return (score - score.min()) / np.ptp(score)


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


def test_the_partition_is_a_scikit_learn_mixture_and_either_of_two_thresholds(evidence) -> None:
    memory, rate, scores = {}, 0.5, []
    for seed in range(7):
        look = given_labels(evidence, seed)
        before = dict(memory)
        found, after = joint_thresholds()(look, memory)
        assert memory == before  # handed on, never changed in place
        memory = after
        scores.append(scaled(look))
        clean, posterior, first, rate = by_hand(np.mean(scores[-5:], axis=0), rate)
        np.testing.assert_array_equal(found.group == Group.CLEAN, clean)
        np.testing.assert_allclose(found.p_clean, posterior, atol=1e-9)
        np.testing.assert_allclose(found.thresholds, first, atol=1e-9)
        assert set(found.group.tolist()) == {Group.CLEAN, Group.NOISY}
    assert all(isinstance(array, np.ndarray) for array in memory.values())


def test_losses_that_are_all_alike_are_all_clean(evidence) -> None:
    probs = np.tile([0.5, 0.3, 0.2], (9, 1))[:, None]
    found, _ = joint_thresholds()(evidence(probs=probs, loss=np.full(9, 0.7)), {})
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


def test_clean_labels_are_blended_by_posterior_times_prediction_and_noisy_ones_replaced(evidence, partition) -> None:
    probs = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])[:, None]
    parts = partition([Group.CLEAN, Group.NOISY], [0.8, 0.8])
    found, memory = refurbish()(evidence(probs=probs, labels=[1, 1]), parts, {"kept": np.ones(1)})
    w = 0.8 * 0.3
    blend = np.array([(1 - w) * 0.5, w + (1 - w) * 0.3, (1 - w) * 0.2]) ** 2
    sharp = np.array([0.25, 0.09, 0.04])
    np.testing.assert_allclose(found.soft, [blend / blend.sum(), sharp / sharp.sum()])
    assert list(memory) == ["kept"]
