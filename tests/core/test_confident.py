"""Confident learning against cleanlab's own, and out-of-fold predictions against scikit-learn's."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from srrs.core.confident import (
    canonical,
    class_thresholds,
    confident_joint,
    label_issues,
    linear_probe,
    out_of_fold_probs,
)
from srrs.core.keyed import folds


def predictions(n: int, classes: int, seed: int, sure: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Predictions that agree with seven labels in ten, and lean on what they see by `sure`."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, n)
    shown = np.where(generator.random(n) < 0.7, labels, generator.integers(0, classes, n))
    probs = generator.random((n, classes)) ** 3
    probs /= probs.sum(1, keepdims=True)
    return (1 - sure) * probs + sure * np.eye(classes)[shown], labels


def keys_of(features: np.ndarray) -> np.ndarray:
    """A key for each row."""
    return np.random.default_rng(7).integers(0, 2**64, len(features), dtype=np.uint64)


def clusters(each: int = 30, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit-length features of classes that overlap a little, within a narrow cone as CLIP's."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), each)
    features = 2 + generator.standard_normal((classes, 16))[labels] + generator.standard_normal((len(labels), 16))
    return features / np.linalg.norm(features, axis=1, keepdims=True), labels


CLEANLAB = {  # joint and issues as version 2.9.0 gives them
    0.5: (
        [[8, 2, 1, 3], [3, 8, 0, 1], [2, 1, 15, 1], [1, 0, 0, 14]],
        [3, 7, 15, 20, 22, 27, 37, 41, 47, 48, 50, 59],
    ),
    0.1: (
        [[3, 5, 3, 3], [4, 1, 5, 2], [4, 5, 5, 5], [4, 4, 5, 2]],
        [0, 3, 4, 5, 6, 7, 8, 9, 10, 15, 16, 17, 19, 20, 21, 22, 23, 25, 26, 28, 29, 30, 32, 33, 36, 37, 39, 44, 45, 46,
         47, 48, 49, 50, 51, 52, 56, 58, 59],
    ),
}  # fmt: skip


@pytest.mark.parametrize("sure", CLEANLAB)
def test_joint_and_issues_are_those_cleanlab_gave(sure: float) -> None:
    joint, issues = CLEANLAB[sure]
    probs, labels = predictions(60, 4, seed=0, sure=sure)
    np.testing.assert_array_equal(confident_joint(probs, labels), joint)
    np.testing.assert_array_equal(np.flatnonzero(label_issues(probs, labels)), issues)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(5, 200), classes=st.integers(2, 20), seed=st.integers(0, 10**6), sure=st.sampled_from([0.0, 0.3, 0.9])
)
def test_thresholds_joint_and_issues_are_cleanlabs(n: int, classes: int, seed: int, sure: float) -> None:
    pytest.importorskip("cleanlab")
    probs, labels = predictions(n, classes, seed, sure)
    if len(np.unique(labels)) < 2:
        return  # cleanlab refuses
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cleanlab.count import compute_confident_joint, get_confident_thresholds
        from cleanlab.filter import find_label_issues

        thresholds = get_confident_thresholds(labels, probs)
        joint = compute_confident_joint(labels, probs, calibrate=True)
        issues = find_label_issues(labels, probs, n_jobs=1)
    np.testing.assert_allclose(class_thresholds(probs, labels), thresholds)
    np.testing.assert_array_equal(confident_joint(probs, labels), joint)
    np.testing.assert_array_equal(label_issues(probs, labels), issues)


@given(n=st.integers(1, 80), classes=st.integers(2, 9), seed=st.integers(0, 999))
def test_the_joint_counts_every_given_label_and_every_class_keeps_a_sample(n: int, classes: int, seed: int) -> None:
    probs, labels = predictions(n, classes, seed)
    np.testing.assert_array_equal(confident_joint(probs, labels).sum(1), np.bincount(labels, minlength=classes))
    issues = label_issues(probs, labels)
    assert set(labels[~issues]) == set(labels)


def test_certain_predictions_that_agree_with_the_labels_leave_no_issue() -> None:
    labels = np.arange(40) % 4
    assert not label_issues(np.eye(4)[labels], labels).any()
    np.testing.assert_array_equal(confident_joint(np.eye(4)[labels], labels), 10 * np.eye(4))


def test_swapped_labels_are_found_where_predictions_know_better() -> None:
    shown = np.arange(60) % 3
    given_labels = np.where(np.arange(60) % 10 == 0, (shown + 1) % 3, shown)
    issues = label_issues(0.1 / 3 + 0.9 * np.eye(3)[shown], given_labels)
    np.testing.assert_array_equal(issues, given_labels != shown)


def test_no_prediction_has_seen_its_own_label_and_each_is_scikit_learns() -> None:
    features, labels = clusters()
    keys = keys_of(features)
    probs, fold = out_of_fold_probs(features, labels, keys, 3, fold_count=4), folds(keys, 4, 0)
    for number in range(4):
        seen, held = fold != number, fold == number
        centered = features - features[seen].mean(0)
        spread = np.sqrt((centered[seen] ** 2).sum(1).mean())
        fit = LogisticRegression(C=3.0, max_iter=1000).fit(centered[seen] / spread, labels[seen])
        np.testing.assert_allclose(probs[held], fit.predict_proba(centered[held] / spread), atol=1e-3)
    changed = labels.copy()
    changed[7] = (labels[7] + 1) % 3
    np.testing.assert_array_equal(
        out_of_fold_probs(features, changed, keys, 3, fold_count=4)[fold == fold[7]], probs[fold == fold[7]]
    )


def test_the_order_of_the_samples_changes_nothing_but_the_order() -> None:
    features, labels = clusters()
    shuffle = np.random.default_rng(1).permutation(len(labels))
    keys = keys_of(features)
    probs = out_of_fold_probs(features, labels, keys, 3)
    np.testing.assert_allclose(
        out_of_fold_probs(features[shuffle], labels[shuffle], keys[shuffle], 3),
        probs[shuffle],
        atol=1e-12,
    )


def test_the_canonical_order_follows_from_content_and_label_alone() -> None:
    keys, labels = np.array([5, 3, 5, 1], np.uint64), np.array([1, 0, 0, 2])
    np.testing.assert_array_equal(canonical(keys, labels), [3, 1, 2, 0])


def test_a_probe_is_the_same_for_shifted_and_stretched_features() -> None:
    features, labels = clusters()
    probs = linear_probe(features, labels, features, 3)
    np.testing.assert_allclose(linear_probe(7 * features + 2, labels, 7 * features + 2, 3), probs, atol=1e-3)


def test_a_class_without_a_label_gets_no_probability_and_nothing_is_known_without_any() -> None:
    features, labels = clusters(classes=2)
    probs = linear_probe(features, labels + 1, features, 4)
    np.testing.assert_array_equal(probs[:, [0, 3]], 0)
    np.testing.assert_allclose(probs.sum(1), 1)
    one = linear_probe(features[:3], np.array([2, 2, 2]), features, 4)
    np.testing.assert_array_equal(one, np.tile([0, 0, 1, 0], (60, 1)))
    np.testing.assert_array_equal(linear_probe(features[:0], labels[:0], features, 4), 0.25)


def test_a_balanced_probe_favours_no_class_for_its_size() -> None:
    features, labels = clusters(each=40, classes=2)
    few = np.r_[0:40, 40:45]
    plain, balanced = (linear_probe(features[few], labels[few], features, 2, balanced=b) for b in (False, True))
    assert balanced[40:, 1].mean() > plain[40:, 1].mean() + 0.1
