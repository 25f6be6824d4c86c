import numpy as np
import pytest
from scipy.special import expit

from srrs.screening.decision.ranking import LARGEST, SLOPE, log_odds, quality_of


def test_log_odds_keep_what_float32_would_round_to_one() -> None:
    """Two given labels whose posterior is 1 in float32; one has a rival of 1e-9, the other one of 1e-12."""
    posterior = np.array([[1, 1e-9, 0], [1, 1e-12, 0], [0.2, 0.5, 0.3], [1e-20, 1, 0]], np.float32)
    given = np.array([[True, False, False]] * 4)
    assert posterior[0, 0] == posterior[1, 0] == 1
    assert log_odds(posterior, given) == pytest.approx(np.log([1e9, 1e12, 0.25, 1e-20]))


def test_the_odds_of_a_certain_posterior_are_finite() -> None:
    odds = log_odds(np.array([[1, 0], [0, 1]], np.float32), np.array([[True, False]] * 2))
    assert np.isfinite(odds).all()
    assert odds[0] == -odds[1] > 50


def test_one_hypothesis_ranks_by_its_own_odds() -> None:
    odds = np.array([-30.0, 0.0, 12.0, 25.0])
    ranked = np.stack([odds, np.ones(4)], axis=1)[:, None]  # all fits are equal
    quality = quality_of(ranked, np.zeros(4), predictions_alone=False)
    assert quality == pytest.approx(expit(SLOPE * odds))


def test_a_very_certain_hypothesis_does_not_dominate_the_mean() -> None:
    """One hypothesis is certain that the first label is right, the other one finds it wrong."""
    odds = np.array([[80.0, -LARGEST], [1.0, 1.0]])
    ranked = np.stack([odds, np.ones((2, 2))], axis=2)
    quality = quality_of(ranked, np.zeros(2), predictions_alone=False)
    assert quality == pytest.approx(expit(SLOPE * np.array([0.0, 1.0])))
    assert quality[0] < quality[1]
