"""LEMoN's score, sample by sample, and its threshold."""

import numpy as np
import pytest
from scipy.spatial.distance import cosine

from srrs.records import Group
from srrs.screening.multimodal import lemon, lemon_scores


def drawn(seed: int = 0, n: int = 120, classes: int = 4) -> tuple[np.ndarray, ...]:
    generator = np.random.default_rng(seed)
    truth = np.arange(n) % classes
    labels = np.where(generator.random(n) < 0.25, (truth + 1) % classes, truth)
    features = np.eye(classes, 10)[truth] + 0.2 * generator.standard_normal((n, 10))
    vectors = np.eye(classes, 10) + 0.2 * generator.standard_normal((classes, 10))
    unit = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (features, vectors)]
    return truth, labels, *unit


def by_hand(i: int, labels: np.ndarray, x: np.ndarray, t: np.ndarray, k: int) -> float:
    """The paper's score of one sample, with whole classes as the neighbors of its label."""
    fit = [cosine(x[j], t[labels[j]]) for j in range(len(x))]
    others = [j for j in range(len(x)) if j != i]
    near = sorted(others, key=lambda j: cosine(x[i], x[j]))[:k]
    s_n = np.mean(
        [cosine(t[labels[i]], t[labels[j]]) * np.exp(-0.1 * cosine(x[i], x[j])) * np.exp(-5 * fit[j]) for j in near]
    )
    pool: list[int] = []
    for c in sorted(range(len(t)), key=lambda c: (c != labels[i], cosine(t[labels[i]], t[c]))):
        pool += [j for j in others if labels[j] == c]
        if len(pool) >= k:
            break
    s_m = np.mean(
        [cosine(x[i], x[j]) * np.exp(-0.1 * cosine(t[labels[i]], t[labels[j]])) * np.exp(-5 * fit[j]) for j in pool]
    )
    return fit[i] + 5 * s_n + 5 * s_m


@pytest.mark.parametrize("k", [1, 7, 40, 119])
def test_the_score_is_the_papers(k: int) -> None:
    _, labels, x, t = drawn()
    found = lemon_scores(labels, x, t, k=k)
    for i in (0, 17, 58, 119):
        assert found[i] == pytest.approx(by_hand(i, labels, x, t, k), rel=1e-4)


def test_wrong_labels_lie_above_the_valley() -> None:
    truth, labels, x, t = drawn(1, n=400)
    found = lemon(labels, x, t)
    wrong, noisy = labels != truth, found.group == Group.NOISY
    assert wrong[noisy].mean() > 0.9
    assert noisy[wrong].mean() > 0.9
    np.testing.assert_array_equal(noisy, found.thresholds.values >= found.thresholds.lower)
    np.testing.assert_array_equal(np.argsort(found.p_clean), np.argsort(-found.thresholds.values))


def test_permuting_samples_permutes_the_partition() -> None:
    _, labels, x, t = drawn(2)
    order = np.random.default_rng(5).permutation(120)
    here, there = lemon(labels, x, t), lemon(labels[order], x[order], t, order=np.argsort(order))
    np.testing.assert_array_equal(there.group, here.group[order])
    np.testing.assert_allclose(there.p_clean, here.p_clean[order], atol=1e-6)


def test_samples_that_are_all_alike_share_a_verdict() -> None:
    found = lemon(np.zeros(5, int), np.ones((5, 4)) / 2, np.eye(4)[:2])
    assert len(set(found.group.tolist())) == 1
