"""Estimators of the transition matrix against data drawn from a known one."""

import numpy as np
import pytest

from srrs.screening.estimators import corrected_posterior, dual_t, given_is_true, hoc
from srrs.screening.transition import symmetric


def drawn(matrix: np.ndarray, n: int = 3000, seed: int = 0, spread: float = 0.2) -> tuple[np.ndarray, ...]:
    """Truth, given labels, and features in clusters that hardly touch."""
    generator, classes = np.random.default_rng(seed), len(matrix)
    truth = generator.integers(0, classes, n)
    labels = (generator.random((n, 1)) > matrix[truth].cumsum(1)).sum(1).clip(max=classes - 1)
    features = np.eye(classes, 12)[truth] + spread * generator.standard_normal((n, 12))
    return truth, labels, features


PAIRS = 0.7 * np.eye(4) + 0.3 * np.roll(np.eye(4), 1, axis=1)


@pytest.mark.parametrize("planted", [PAIRS, symmetric(4, 0.4), np.eye(4)])
def test_hoc_finds_a_planted_matrix_and_prior(planted: np.ndarray) -> None:
    truth, labels, features = drawn(planted)
    matrix, prior = hoc(labels, features, 4)
    np.testing.assert_allclose(matrix, planted, atol=0.07)
    np.testing.assert_allclose(prior, np.bincount(truth) / 3000, atol=0.06)
    right = [(truth == labels)[labels == j].mean() for j in range(4)]
    np.testing.assert_allclose(given_is_true(labels, matrix, prior), right, atol=0.05)


def test_dual_t_is_the_product_of_its_factors_by_hand() -> None:
    probs = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]])
    labels = np.array([0, 1, 1, 1])
    first = np.array([[0.9, 0.1], [0.2, 0.8]])  # predictions at the most confident samples
    second = np.array([[0.5, 0.5], [0.0, 1.0]])  # of two predicted as class 0, one is labeled so
    np.testing.assert_allclose(dual_t(labels, probs), first @ second)


def test_dual_t_finds_a_planted_matrix_from_the_exact_noisy_posterior() -> None:
    truth, labels, _ = drawn(PAIRS)
    np.testing.assert_allclose(dual_t(labels, np.eye(4)[truth]), PAIRS, atol=0.05)
    never = np.column_stack([np.eye(4)[truth], np.zeros(3000)])  # a class that is never predicted
    np.testing.assert_allclose(dual_t(labels, never).sum(1), 1)


def test_the_posterior_is_bayes_rule_by_hand() -> None:
    probs = np.array([[0.5, 0.3, 0.2]])
    matrix = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.0, 0.5, 0.5]])
    joint = np.array([0.5 * 0.1, 0.3 * 0.7, 0.2 * 0.5])
    np.testing.assert_allclose(corrected_posterior(probs, np.array([1]), matrix)[0], joint / joint.sum(), atol=1e-9)


def test_estimates_follow_a_permutation_of_samples_and_of_classes() -> None:
    _, labels, features = drawn(PAIRS, n=300)
    matrix, prior = hoc(labels, features, 4)
    rows = np.random.default_rng(1).permutation(300)
    shuffled, _ = hoc(labels[rows], features[rows], 4, order=np.argsort(rows))
    np.testing.assert_allclose(shuffled, matrix, atol=1e-8)
    order = np.array([2, 0, 3, 1])  # new class i is the old class order[i]
    renamed, renamed_prior = hoc(np.argsort(order)[labels], features, 4)
    np.testing.assert_allclose(renamed, matrix[np.ix_(order, order)], atol=1e-8)
    np.testing.assert_allclose(renamed_prior, prior[order], atol=1e-8)
