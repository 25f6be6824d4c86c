"""Sinkhorn's plan against POT's, against an assignment, and against what any plan must hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.optimize import linear_sum_assignment
from scipy.special import log_softmax

from srrs.core.transport import sinkhorn

COSTS = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=8), elements=st.floats(-3, 3))
NO_POT = "POT is not installed (pip install pot)"


def surprise(n: int, classes: int, seed: int = 0) -> np.ndarray:
    """-log P of predictions that are often sure and sometimes wrong."""
    return -log_softmax(6 * np.random.default_rng(seed).standard_normal((n, classes)), axis=1)


@pytest.mark.parametrize("max_iter", [1, 7, 10, 25, 1000])
@pytest.mark.parametrize("reg", [0.01, 0.1, 1.0])
def test_the_plan_is_pots_whether_it_has_converged_or_not(reg: float, max_iter: int) -> None:
    ot = pytest.importorskip("ot", reason=NO_POT)
    cost = surprise(60, 7)
    rows, columns = np.full(60, 1 / 60), np.full(7, 1 / 7)
    options = {"method": "sinkhorn_log", "numItermax": max_iter, "stopThr": 1e-6, "warn": False}
    theirs = ot.sinkhorn(rows, columns, cost, reg, **options)
    np.testing.assert_allclose(np.exp(sinkhorn(cost, reg, max_iter=max_iter)), theirs, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(COSTS, st.sampled_from([1e-3, 0.3, 5.0]))
def test_any_cost_gives_a_plan_from_equal_samples(cost: np.ndarray, reg: float) -> None:
    found = np.exp(sinkhorn(cost, reg))
    np.testing.assert_allclose(found.sum(1), 1 / len(cost), rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(COSTS)
def test_a_plan_that_has_converged_fills_the_classes_equally_and_has_the_form_that_makes_it_the_best(cost) -> None:
    log_plan = sinkhorn(cost, 2.0, tol=1e-12)
    np.testing.assert_allclose(np.exp(log_plan).sum(0), 1 / cost.shape[1], rtol=1e-8)
    prices = log_plan + cost / 2.0  # a price of each sample plus one of each class
    np.testing.assert_allclose(prices - prices[:1] - prices[:, :1] + prices[0, 0], 0, atol=1e-9)


def test_with_little_entropy_it_is_the_cheapest_assignment() -> None:
    cost = np.random.default_rng(3).random((8, 8))
    _, assigned = linear_sum_assignment(cost)
    np.testing.assert_array_equal(sinkhorn(cost, 0.005, max_iter=5000).argmax(1), assigned)


def test_permuting_samples_and_classes_permutes_the_plan() -> None:
    generator, cost = np.random.default_rng(1), surprise(40, 5)
    rows, columns = generator.permutation(40), generator.permutation(5)
    shuffled = sinkhorn(cost[rows][:, columns], 0.1)
    np.testing.assert_allclose(np.exp(shuffled), np.exp(sinkhorn(cost, 0.1))[rows][:, columns], atol=1e-12)


def test_a_cost_that_all_classes_share_changes_nothing() -> None:
    cost = surprise(30, 4)
    dearer = cost + np.random.default_rng(2).random((30, 1))
    found, expected = (np.exp(sinkhorn(c, 0.2, tol=1e-12)) for c in (dearer, cost))
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("cost", "reg", "message"),
    [
        (np.zeros((3, 2)), 0.0, "reg above 0, but got 0"),
        (np.zeros((3, 2)), float("nan"), "reg above 0, but got nan"),
        (np.array([[1.0, np.inf]]), 1.0, "finite costs"),
        (np.zeros((0, 2)), 1.0, r"N, C > 0, but got shape \(0, 2\)"),
        (np.zeros(3), 1.0, r"shape \(N, C\)"),
    ],
)
def test_what_cannot_be_carried_is_refused(cost: np.ndarray, reg: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sinkhorn(cost, reg)
