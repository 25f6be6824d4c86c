"""The transition rule: what it finds, and what it reads of each sample."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from srrs.screening.pooled import by_transition, match_odds, out_of_fold_similarity


def drawn(seed: int, noise: float, n: int = 240, classes: int = 4) -> tuple[np.ndarray, ...]:
    """Truth, given labels (pair flips), zero-shot probabilities that are right three times in four, and features."""
    generator = np.random.default_rng(seed)
    truth = np.arange(n) % classes
    labels = np.where(generator.random(n) < noise, (truth + 1) % classes, truth)
    predicted = np.where(generator.random(n) < 0.75, truth, generator.integers(0, classes, n))
    zero_shot = np.full((n, classes), 0.2 / (classes - 1))
    zero_shot[np.arange(n), predicted] = 0.8
    features = np.eye(classes, 16)[truth] + 0.35 * generator.standard_normal((n, 16))
    return truth, labels, zero_shot, (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("noise", [0.0, 0.3, 0.6])
def test_fewer_labels_are_wrong_than_were_given_and_their_number_is_known(keys, noise: float) -> None:
    truth, labels, zero_shot, features = drawn(1, noise)
    found = by_transition(labels, zero_shot, features, keys(240))
    given, rectified = (labels != truth).mean(), (found.posterior.argmax(1) != truth).mean()
    assert rectified <= given / 2 + 0.02
    assert found.noise.low <= given <= found.noise.high
    assert found.thresholds.score == "p_clean"


def test_permuting_samples_permutes_the_partition(keys) -> None:
    _, labels, zero_shot, features = drawn(2, 0.4)
    order = np.random.default_rng(0).permutation(240)
    here = by_transition(labels, zero_shot, features, keys(240))
    there = by_transition(labels[order], zero_shot[order], features[order], keys(240)[order])
    np.testing.assert_allclose(there.posterior, here.posterior[order], atol=1e-6)
    np.testing.assert_array_equal(there.group, here.group[order])


def test_no_sample_is_judged_by_its_own_label() -> None:
    _, labels, _, features = drawn(3, 0.2)
    fold = np.arange(240) % 5
    given = np.eye(4)[labels]
    other = given.copy()
    other[7] = np.roll(other[7], 1)
    before, after = (out_of_fold_similarity(features, q, fold) for q in (given, other))
    np.testing.assert_array_equal(before[fold == 7 % 5], after[fold == 7 % 5])
    assert not np.array_equal(before, after)


def test_the_matchers_odds_are_those_of_the_likely_and_the_given_classes_and_their_median_elsewhere() -> None:
    generator = np.random.default_rng(3)
    labels, zero_shot = generator.integers(0, 14, 6), generator.dirichlet(np.ones(14), 6)
    scores = generator.uniform(0.1, 0.9, (6, 14))
    asked = []

    def match(rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
        asked.extend(zip(rows.tolist(), classes.tolist(), strict=True))
        return scores[rows, classes]

    found = match_odds(labels, zero_shot, match)
    for row in range(6):
        likely = np.argsort(-zero_shot[row])[:10]
        odds = np.log(scores[row] / (1 - scores[row]))
        expected = np.full(14, np.median(odds[likely]))
        known = [*likely, labels[row]]
        expected[known] = odds[known]
        np.testing.assert_allclose(found[row], expected)
    assert len(asked) == 6 * 11


def test_a_matcher_that_knows_ranks_better(keys) -> None:
    truth, labels, zero_shot, features = drawn(3, 0.4)
    rng = np.random.default_rng(4)
    scores = np.clip(0.3 + 0.4 * np.eye(4)[truth] + 0.15 * rng.standard_normal((240, 4)), 0.01, 0.99)
    found = [
        by_transition(labels, zero_shot, features, keys(240), match=match)
        for match in (None, lambda rows, classes: scores[rows, classes])
    ]
    alone, helped = (roc_auc_score(labels != truth, 1 - each.p_clean) for each in found)
    assert helped > alone


def test_where_no_label_need_be_wrong_the_rectified_labels_are_the_given_ones(keys) -> None:
    _, labels, zero_shot, features = drawn(1, 0.0)
    found = by_transition(labels, zero_shot, features, keys(240))
    assert found.noise.low == 0
    np.testing.assert_array_equal(found.rectified, labels)
