"""Screening against the same thing put together by hand from scikit-learn and scipy."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture

from srrs.methods.screen import (
    bands,
    channel,
    counted_noise,
    match_odds,
    out_of_fold_similarity,
    remembered,
    trust_all,
    two_way,
)
from srrs.records import Group


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
def test_bands_are_a_mixture_and_two_density_thresholds(evidence, theta: float) -> None:
    loss = two_humps(0)
    found, _ = bands(theta)(evidence(loss=loss), {})
    group, p_clean, thresholds = by_hand((loss - loss.min()) / np.ptp(loss), theta)
    np.testing.assert_array_equal(found.group, group)
    np.testing.assert_allclose(found.p_clean, p_clean, atol=1e-9)
    np.testing.assert_allclose(found.thresholds, [thresholds], atol=1e-6)
    assert len(set(group.tolist())) > 1
    assert found.noise.low <= found.noise.rate <= found.noise.high


def test_bands_remember_the_last_five_screenings(evidence) -> None:
    losses = [two_humps(seed) for seed in range(7)]
    memory = {"other": np.arange(3)}
    for loss in losses:
        before = dict(memory)
        found, after = bands()(evidence(loss=loss), memory)
        assert memory.keys() == before.keys()  # what is remembered is handed on, never changed in place
        assert all(memory[name] is before[name] for name in memory)
        memory = after
    scaled = np.array([(loss - loss.min()) / np.ptp(loss) for loss in losses])
    np.testing.assert_allclose(memory["losses"], scaled[2:])
    np.testing.assert_array_equal(memory["other"], np.arange(3))
    group, p_clean, _ = by_hand(scaled[2:].mean(0), theta=0.01)
    np.testing.assert_array_equal(found.group, group)
    np.testing.assert_allclose(found.p_clean, p_clean, atol=1e-9)


def test_two_groups_are_parted_at_half_the_posterior_of_the_mixture_of_the_bands(evidence) -> None:
    loss = np.random.default_rng(0).gamma(2, size=300)
    (two, memory), (three, same) = two_way()(evidence(loss=loss), {}), bands()(evidence(loss=loss), {})
    np.testing.assert_array_equal(two.p_clean, three.p_clean)
    np.testing.assert_array_equal(two.group == Group.CLEAN, two.p_clean >= 0.5)
    assert set(two.group) == {Group.CLEAN, Group.NOISY}
    np.testing.assert_array_equal(memory["losses"], same["losses"])


def test_the_mean_is_over_what_there_is_until_the_memory_is_full() -> None:
    first, memory = remembered("x", np.array([1.0, 2.0]), 3, {})
    second, memory = remembered("x", np.array([3.0, 2.0]), 3, memory)
    np.testing.assert_allclose([first, second], [[1, 2], [2, 2]])
    for value in (5.0, 7.0, 9.0):
        last, memory = remembered("x", np.full(2, value), 3, memory)
    np.testing.assert_allclose(last, [7, 7])


def test_losses_that_are_all_alike_are_all_clean(evidence) -> None:
    found, _ = bands()(evidence(loss=np.full(9, 0.7)), {})
    assert (found.group == Group.CLEAN).all()
    assert found.noise.rate == 0


def test_trusting_all_believes_what_the_learners_do(evidence) -> None:
    probs = np.array([[[0.7, 0.3], [0.5, 0.5]], [[0.2, 0.8], [0.4, 0.6]]])
    found, memory = trust_all()(evidence(probs=probs, labels=[0, 0]), {"kept": np.ones(1)})
    np.testing.assert_allclose(found.p_clean, [0.6, 0.3])
    assert (found.group == Group.CLEAN).all()
    assert found.noise.rate == pytest.approx(0.55)
    assert list(memory) == ["kept"]


def test_the_range_of_a_counted_rate_runs_from_the_noisy_to_all_that_are_not_clean() -> None:
    group = np.array([Group.CLEAN, Group.CLEAN, Group.AMBIGUOUS, Group.NOISY])
    noise = counted_noise(np.array([1.0, 0.8, 0.4, 0.2]), group)
    assert (noise.rate, noise.low, noise.high) == pytest.approx((0.4, 0.25, 0.5))
    far = counted_noise(np.full(4, 0.1), group)
    assert (far.low, far.high) == pytest.approx((0.25, 0.9))


def pictures(seed: int, noise: float, n: int = 240, classes: int = 4) -> tuple[np.ndarray, ...]:
    """Truth, given labels (pair flips), zero-shot probabilities that are right three times in four, and features."""
    generator = np.random.default_rng(seed)
    truth = np.arange(n) % classes
    labels = np.where(generator.random(n) < noise, (truth + 1) % classes, truth)
    believed = np.where(generator.random(n) < 0.75, truth, generator.integers(0, classes, n))
    zero_shot = np.full((n, classes), 0.2 / (classes - 1))
    zero_shot[np.arange(n), believed] = 0.8
    features = np.eye(classes, 16)[truth] + 0.35 * generator.standard_normal((n, 16))
    return truth, labels, zero_shot, (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("noise", [0.0, 0.3, 0.6])
def test_the_channel_leaves_fewer_wrong_labels_than_were_given_and_knows_how_many_they_were(
    evidence, noise: float
) -> None:
    truth, labels, zero_shot, features = pictures(1, noise)
    found, memory = channel()(
        replace(evidence(n=240, classes=4), labels=labels, zero_shot=zero_shot, features=features), {}
    )
    given, rectified = (labels != truth).mean(), (found.posterior.argmax(1) != truth).mean()
    assert rectified <= given / 2 + 0.02
    assert found.noise.low <= given <= found.noise.high
    assert memory == {}


def test_the_verdict_of_the_channel_follows_a_sample_wherever_it_stands(evidence) -> None:
    _, labels, zero_shot, features = pictures(2, 0.4)
    order = np.random.default_rng(0).permutation(240)
    given = replace(evidence(n=240, classes=4), labels=labels, zero_shot=zero_shot, features=features)
    shuffled = replace(given, labels=labels[order], zero_shot=zero_shot[order], features=features[order])
    here, _ = channel()(given, {})
    there, _ = channel()(shuffled, {})
    np.testing.assert_allclose(there.posterior, here.posterior[order], atol=1e-6)
    np.testing.assert_array_equal(there.group, here.group[order])


def test_no_sample_is_judged_by_its_own_label() -> None:
    _, labels, _, features = pictures(3, 0.2)
    fold = np.arange(240) % 5
    belief = np.eye(4)[labels]
    other = belief.copy()
    other[7] = np.roll(other[7], 1)
    before, after = (out_of_fold_similarity(features, q, fold) for q in (belief, other))
    np.testing.assert_array_equal(before[fold == 7 % 5], after[fold == 7 % 5])
    assert not np.array_equal(before, after)


def test_the_matchers_odds_are_those_of_the_likely_and_the_given_classes_and_their_median_elsewhere(evidence) -> None:
    given = evidence(n=6, classes=14)
    scores = np.random.default_rng(3).uniform(0.1, 0.9, (6, 14))
    asked = []

    def match(rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
        asked.extend(zip(rows.tolist(), classes.tolist(), strict=True))
        return scores[rows, classes]

    found = match_odds(given, match)
    for row in range(6):
        likely = np.argsort(-given.zero_shot[row])[:10]
        odds = np.log(scores[row] / (1 - scores[row]))
        expected = np.full(14, np.median(odds[likely]))
        known = [*likely, given.labels[row]]
        expected[known] = odds[known]
        np.testing.assert_allclose(found[row], expected)
    assert len(asked) == 6 * 11


def test_a_matcher_that_knows_makes_the_channel_rank_better(evidence) -> None:
    truth, labels, zero_shot, features = pictures(3, 0.4)
    rng = np.random.default_rng(4)
    scores = np.clip(0.3 + 0.4 * np.eye(4)[truth] + 0.15 * rng.standard_normal((240, 4)), 0.01, 0.99)
    without = replace(evidence(n=240, classes=4), labels=labels, zero_shot=zero_shot, features=features)
    with_it = replace(without, match=lambda rows, classes: scores[rows, classes])
    wrong = labels != truth
    alone, helped = (roc_auc_score(wrong, 1 - channel()(e, {})[0].p_clean) for e in (without, with_it))
    assert helped > alone
