"""Sums over blocks of one given label against the fit with all its arrays."""

import numpy as np
import pytest
import torch

from srrs.screening import sorted_transition
from srrs.screening.sorted_transition import ByLabel, by_label, fit_sums, posterior_of
from srrs.screening.transition import fit_transition


def drawn(n: int = 3000, classes: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Evidence and given labels, a third of them wrong; the last class has none."""
    generator = np.random.default_rng(0)
    true = generator.integers(0, classes - 1, n)
    logits = 2 * (2 * np.eye(classes)[true] + generator.standard_normal((n, classes)))
    wrong = generator.random(n) < 0.3
    labels = np.where(wrong, (true + 1) % (classes - 1), true)
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True), labels


def sorted_evidence(log_evidence: np.ndarray, labels: np.ndarray) -> ByLabel:
    order, bounds = by_label(labels, log_evidence.shape[1])
    return ByLabel(np.exp(log_evidence[order]).astype(np.float32), bounds)


@pytest.mark.parametrize("cell", [7, 2048])
def test_the_fit_is_that_with_all_arrays(monkeypatch, cell: int) -> None:
    monkeypatch.setattr(sorted_transition, "CELL", cell)
    log_evidence, labels = drawn()
    exact = fit_transition(log_evidence, labels, shrink=12.0)
    evidence = sorted_evidence(log_evidence, labels)
    found = fit_sums(evidence, shrink=12.0, prior=(1.0, 1.0))
    assert found.rate == pytest.approx(exact.rate, abs=1e-4)
    np.testing.assert_allclose(found.matrix, exact.matrix, atol=1e-4)
    posterior = posterior_of(torch.from_numpy(np.exp(log_evidence).astype(np.float32)), labels, found)
    np.testing.assert_allclose(posterior, exact.posterior, atol=1e-3)


def test_a_fit_begun_at_the_end_of_another_stays_there() -> None:
    evidence = sorted_evidence(*drawn())
    first = fit_sums(evidence, shrink=12.0, prior=(1.0, 1.0))
    again = fit_sums(evidence, shrink=12.0, prior=(1.0, 1.0), begin=first, iterations=1)
    np.testing.assert_allclose(again.matrix, first.matrix, atol=1e-5)


def test_samples_are_put_in_the_order_of_their_labels_and_classes_may_be_empty() -> None:
    order, bounds = by_label(np.array([2, 0, 2, 0]), 4)
    np.testing.assert_array_equal(order, [1, 3, 0, 2])
    np.testing.assert_array_equal(bounds, [0, 2, 2, 4, 4])
