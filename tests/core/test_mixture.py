import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm
from sklearn.mixture import GaussianMixture

from srrs.core import blocks
from srrs.core.mixture import TwoGaussians, density_thresholds, fit_two, normalize, posterior_low

VALUES = arrays(np.float64, st.integers(2, 40), elements=st.floats(0, 10, width=32))


def two_humps(seed: int = 0, low: int = 300, high: int = 100) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.permutation(np.r_[generator.normal(0.2, 0.05, low), generator.normal(0.8, 0.1, high)])


def mixture(low: tuple[float, float, float], high: tuple[float, float, float]) -> TwoGaussians:
    return TwoGaussians(*(np.array(pair) for pair in zip(low, high, strict=True)))


def test_two_humps_are_found_again() -> None:
    fit = fit_two(two_humps(), seed=0)
    np.testing.assert_allclose(fit.mean, [0.2, 0.8], atol=0.02)
    np.testing.assert_allclose(fit.std, [0.05, 0.1], atol=0.02)
    np.testing.assert_allclose(fit.weight, [0.75, 0.25], atol=0.02)


def test_posterior_equals_scikit_learns() -> None:
    values = two_humps(1)
    theirs = GaussianMixture(2, random_state=3, max_iter=100, tol=1e-3, reg_covar=5e-4).fit(np.sort(values)[:, None])
    expected = theirs.predict_proba(values[:, None])[:, theirs.means_[:, 0].argmin()]
    np.testing.assert_allclose(posterior_low(values, fit_two(values, seed=3)), expected, atol=1e-9)


def test_the_order_of_samples_does_not_matter() -> None:
    values = two_humps(2)
    a, b = fit_two(values, seed=5), fit_two(values[::-1], seed=5)
    assert all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("mean", "std", "weight"))


@settings(max_examples=30, deadline=None)
@given(VALUES, st.integers(-100, 100), st.integers(0, 9))
def test_shifting_the_losses_leaves_the_partition(values: np.ndarray, shift: int, seed: int) -> None:
    def groups(v: np.ndarray) -> np.ndarray:
        stretched = np.round(normalize(v), 6)
        fit = fit_two(stretched, seed)
        return np.digitize(stretched, np.round(density_thresholds(fit, 0.01), 6))

    values = np.round(values * 8) / 8  # exact under the shift
    np.testing.assert_array_equal(groups(values), groups(values + shift))


@settings(max_examples=30, deadline=None)
@given(VALUES, st.integers(0, 9))
def test_any_values_give_a_proper_mixture_and_posterior(values: np.ndarray, seed: int) -> None:
    fit = fit_two(values, seed)
    assert fit.mean[0] <= fit.mean[1]
    assert (fit.std > 0).all()
    assert fit.weight.sum() == pytest.approx(1)
    posterior = posterior_low(values, fit)
    assert ((posterior >= 0) & (posterior <= 1)).all()
    lower, upper = density_thresholds(fit, 0.01)
    assert -math.inf < lower <= upper < math.inf


@pytest.mark.parametrize("values", [np.full(20, 0.7), np.array([0.7]), np.array([1e6, 1e6 + 1e-6, 1e6])])
def test_constant_values_are_one_component_and_all_below_the_threshold(values: np.ndarray) -> None:
    fit = fit_two(values, seed=0)
    np.testing.assert_array_equal(fit.weight, [1, 0])
    np.testing.assert_array_equal(posterior_low(values, fit), 1)
    assert (values < density_thresholds(fit, 0.01)[0]).all()


@pytest.mark.parametrize(
    ("values", "message"), [([], r"N > 0, but got \(0,\)"), ([1.0, math.nan], "finite"), ([[1.0], [2.0]], "shape")]
)
def test_values_that_cannot_be_fitted_are_refused(values: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_two(np.array(values), seed=0)


def test_posterior_stays_exact_far_outside() -> None:
    fit = mixture((0.0, 0.1, 0.5), (1.0, 0.1, 0.5))
    np.testing.assert_array_equal(posterior_low(np.array([-1e3, 0.5, 1e3]), fit), [1, 0.5, 0])


def test_thresholds_lie_where_the_densities_fall_to_theta() -> None:
    fit = mixture((0.1, 0.05, 0.7), (0.9, 0.2, 0.3))
    bounds = density_thresholds(fit, 0.01)
    a1 = next(b for b in bounds if norm.pdf(b, 0.1, 0.05) == pytest.approx(0.01))
    a2 = next(b for b in bounds if norm.pdf(b, 0.9, 0.2) == pytest.approx(0.01))
    assert a1 > 0.1
    assert a2 < 0.9
    assert bounds == (min(a1, a2), max(a1, a2))


def test_a_component_flatter_than_theta_counts_from_its_mean() -> None:
    assert density_thresholds(mixture((0, 100, 0.5), (500, 100, 0.5)), 0.01) == (0, 500)


def test_theta_must_be_positive() -> None:
    with pytest.raises(ValueError, match="theta above 0, but got 0"):
        density_thresholds(mixture((0, 1, 0.5), (1, 1, 0.5)), 0)


def test_normalizing_runs_from_zero_to_one() -> None:
    np.testing.assert_allclose(normalize(np.array([2.0, 4.0, 3.0])), [0, 1, 0.5])
    np.testing.assert_array_equal(normalize(np.full(4, 3.0)), 0)
    assert normalize(np.array([])).shape == (0,)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_histogram_of_many_values_gives_the_fit_of_the_values(monkeypatch, seed: int) -> None:
    values = two_humps(seed, 3000, 1000)
    exact = fit_two(values, seed=seed)
    monkeypatch.setattr(blocks, "WHOLE", 1000)
    found = fit_two(values, seed=seed)
    assert not np.array_equal(found.mean, exact.mean)  # it was another computation
    for name in ("mean", "std", "weight"):
        np.testing.assert_allclose(getattr(found, name), getattr(exact, name), atol=2e-4)
    again = fit_two(np.random.default_rng(0).permutation(values), seed=seed)
    np.testing.assert_array_equal(again.mean, found.mean)
