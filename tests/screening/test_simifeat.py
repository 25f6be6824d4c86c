"""SimiFeat's votes by hand, and what its two rules flag."""

import numpy as np
import pytest

from srrs.records import Group
from srrs.screening.simifeat import neighbor_votes, simifeat_rank, simifeat_vote


def drawn(seed: int = 0, n: int = 300) -> tuple[np.ndarray, ...]:
    generator = np.random.default_rng(seed)
    truth = np.arange(n) % 3
    labels = np.where(generator.random(n) < 0.2, (truth + 1) % 3, truth)
    return truth, labels, np.eye(3, 8)[truth] + 0.25 * generator.standard_normal((n, 8))


def test_votes_are_similarities_and_the_own_one_is_extrapolated() -> None:
    angles = np.array([0.0, 0.1, 0.25, 1.5])
    features, labels = np.column_stack([np.cos(angles), np.sin(angles)]), np.array([0, 1, 1, 2])
    votes = neighbor_votes(labels, features, 3, k=3)
    first, second = np.cos(0.1), np.cos(0.25)
    np.testing.assert_allclose(votes[0], [2 * first - second, first + second, 0], atol=1e-5)


@pytest.mark.parametrize("rule", [simifeat_vote, simifeat_rank])
def test_wrong_labels_of_separate_clusters_are_flagged(rule) -> None:
    truth, labels, features = drawn()
    found = rule(labels, features, 3)
    wrong = labels != truth
    noisy = found.group == Group.NOISY
    assert wrong[noisy].mean() > 0.9
    assert noisy[wrong].mean() > 0.85
    assert found.p_clean[wrong].max() < np.median(found.p_clean[~wrong])


def test_the_vote_flags_every_label_that_its_neighborhood_outvotes() -> None:
    _, labels, features = drawn()
    votes = neighbor_votes(labels, features, 3)
    found = simifeat_vote(labels, features, 3)
    np.testing.assert_array_equal(found.group == Group.CLEAN, votes.argmax(1) == labels)


def test_ranking_flags_as_many_of_each_class_as_hoc_estimates() -> None:
    truth, labels, features = drawn()
    found = simifeat_rank(labels, features, 3)
    assert found.noise.rate == pytest.approx((labels != truth).mean(), abs=0.03)
    for j in range(3):
        members = labels == j
        flagged = (found.group[members] == Group.NOISY).mean()
        assert flagged == pytest.approx((truth != labels)[members].mean(), abs=0.06)


@pytest.mark.parametrize("rule", [simifeat_vote, simifeat_rank])
def test_permuting_samples_permutes_the_partition(rule) -> None:
    _, labels, features = drawn(1)
    order = np.random.default_rng(5).permutation(300)
    here = rule(labels, features, 3, order=np.arange(300))
    there = rule(labels[order], features[order], 3, order=np.argsort(order))
    np.testing.assert_array_equal(there.group, here.group[order])
    np.testing.assert_allclose(there.p_clean, here.p_clean[order], atol=1e-6)
