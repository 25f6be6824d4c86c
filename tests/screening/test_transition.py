"""The transition matrix against data drawn from a known one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srrs.screening.transition import fit_transition, posterior, symmetric


def pairs(classes: int, rate: float) -> np.ndarray:
    """Each class is taken for the next one with probability `rate`."""
    return (1 - rate) * np.eye(classes) + rate * np.roll(np.eye(classes), 1, axis=1)


def draw(
    transition: np.ndarray, *, n: int = 4000, distance: float = 2.5, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Evidence (n, C), given labels and true classes: Gaussian clouds, whose exact posterior is the evidence."""
    generator, c = np.random.default_rng(seed), len(transition)
    true = generator.integers(0, c, n)
    x = distance * np.eye(c)[true] + generator.standard_normal((n, c))
    logits = distance * x  # log density of each cloud, but for what all share
    log_evidence = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    labels = (generator.random((n, 1)) > transition[true].cumsum(1)).sum(1).clip(max=c - 1)
    return log_evidence, labels, true


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.7])
@pytest.mark.parametrize("kind", [symmetric, pairs])
def test_a_planted_matrix_is_found_again(kind, rate: float) -> None:
    planted = kind(5, rate)
    log_evidence, labels, true = draw(planted)
    fit = fit_transition(log_evidence, labels)
    assert fit.rate == pytest.approx((labels != true).mean(), abs=0.05)
    np.testing.assert_allclose(fit.matrix, planted, atol=0.08)
    right = (fit.posterior.argmax(1) == true).mean()
    assert right > (labels == true).mean()
    assert right >= (log_evidence.argmax(1) == true).mean()


def test_the_posterior_of_a_right_label_is_calibrated() -> None:
    log_evidence, labels, true = draw(symmetric(4, 0.4), n=8000)
    fit = fit_transition(log_evidence, labels)
    trusted = fit.posterior[np.arange(len(labels)), labels]
    for low in (0.0, 0.25, 0.5, 0.75):
        rows = (trusted >= low) & (trusted < low + 0.25)
        assert trusted[rows].mean() == pytest.approx((labels == true)[rows].mean(), abs=0.06)


def test_labels_without_noise_are_kept() -> None:
    log_evidence, labels, true = draw(np.eye(5), distance=1.5)
    fit = fit_transition(log_evidence, labels)
    assert (log_evidence.argmax(1) != true).mean() > 0.1  # the evidence alone would spoil many
    assert (fit.posterior.argmax(1) != labels).mean() < 0.02
    assert fit.rate < 0.05


def test_a_prior_on_the_rate_pulls_it() -> None:
    log_evidence, labels, _ = draw(symmetric(3, 0.4), n=60, distance=1.0)
    low, flat, high = (fit_transition(log_evidence, labels, prior=prior).rate for prior in ((1, 200), (1, 1), (200, 1)))
    assert low < flat < high


def test_shrinking_hard_leaves_a_symmetric_matrix() -> None:
    log_evidence, labels, _ = draw(pairs(4, 0.3), n=400)
    fit = fit_transition(log_evidence, labels, shrink=1e9)
    np.testing.assert_allclose(fit.matrix, symmetric(4, fit.rate), atol=1e-3)


def test_the_posterior_is_bayes_rule_by_hand() -> None:
    evidence = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    transition = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.0, 0.5, 0.5]])
    q = posterior(np.log(evidence), np.array([1, 2]), transition)
    joint = np.array([[0.5 * 0.1, 0.3 * 0.7, 0.2 * 0.5], [0, 0.1 * 0.1, 0.8 * 0.5]])
    np.testing.assert_allclose(q, joint / joint.sum(1, keepdims=True), atol=1e-9)


def test_each_iteration_raises_the_likelihood_of_the_given_labels() -> None:
    log_evidence, labels, _ = draw(pairs(4, 0.5), n=500)
    fits = [fit_transition(log_evidence, labels, shrink=0, iterations=i) for i in range(8)]
    likelihood = [np.log((np.exp(log_evidence) * fit.matrix[:, labels].T).sum(1)).mean() for fit in fits]
    assert (np.diff(likelihood) > -1e-9).all()


def test_certain_evidence_stays_finite() -> None:
    log_evidence = np.where(np.eye(3)[[0, 1, 2, 0]] > 0, 0.0, -1e4)
    fit = fit_transition(log_evidence, np.array([0, 1, 2, 1]))
    assert np.isfinite(fit.posterior).all()
    assert np.isfinite(fit.matrix).all()
    assert fit.posterior[3].argmax() == 0


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 5), st.integers(2, 60), st.integers(0, 999))
def test_permuting_samples_permutes_the_posterior_and_permuting_classes_the_transition(
    classes: int, n: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    log_evidence, labels, _ = draw(pairs(classes, 0.3), n=n, seed=seed)
    fit = fit_transition(log_evidence, labels)

    rows = generator.permutation(n)
    shuffled = fit_transition(log_evidence[rows], labels[rows])
    np.testing.assert_allclose(shuffled.posterior, fit.posterior[rows], atol=1e-8)
    assert shuffled.rate == pytest.approx(fit.rate)

    order = generator.permutation(classes)  # new class i is the old class order[i]
    renamed = fit_transition(log_evidence[:, order], np.argsort(order)[labels])
    np.testing.assert_allclose(renamed.matrix, fit.matrix[np.ix_(order, order)], atol=1e-8)
    np.testing.assert_allclose(renamed.posterior, fit.posterior[:, order], atol=1e-8)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 6), st.integers(1, 40), st.integers(0, 999))
def test_any_evidence_gives_a_proper_matrix(classes: int, n: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    evidence = generator.dirichlet(np.full(classes, 0.3), n)
    fit = fit_transition(np.log(evidence + 1e-9), generator.integers(0, classes, n))
    np.testing.assert_allclose(fit.matrix.sum(1), 1)
    np.testing.assert_allclose(fit.posterior.sum(1), 1)
    assert 0 < fit.rate < 1
