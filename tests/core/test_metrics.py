import numpy as np
import pytest
from scipy.stats import bootstrap, mannwhitneyu
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

from srrs.core import metrics


def scene(n: int = 200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    wrong = generator.random(n) < 0.3
    return np.round(generator.random(n) - 0.3 * wrong, 2), wrong


def test_accuracy_and_label_noise_by_hand() -> None:
    given, truth = np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2])
    assert metrics.accuracy(given, truth) == 0.75
    assert metrics.label_noise(given, truth) == 0.25


def test_macro_f1_averages_over_the_true_classes_alone() -> None:
    truth = np.array([0, 0, 1, 1])
    assert metrics.macro_f1(truth, truth) == 1
    predicted = np.array([0, 2, 1, 1])
    per_class = f1_score(truth, predicted, labels=[0, 1], average=None)
    assert metrics.macro_f1(predicted, truth) == pytest.approx(per_class.mean())


def test_calibration_error_by_hand() -> None:
    probs = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [1.0, 0.0]])
    truth = np.array([0, 1, 1, 0])
    # two samples of confidence 0.9, half right; one of 0.6 and one of 1.0, both right
    assert metrics.expected_calibration_error(probs, truth, bins=20) == pytest.approx((2 * 0.4 + 0.4 + 0.0) / 4)
    # a single bin: mean confidence 0.85, accuracy 0.75
    assert metrics.expected_calibration_error(probs, truth, bins=1) == pytest.approx(0.1)


def test_auroc_is_the_share_of_pairs_in_the_right_order() -> None:
    quality, wrong = scene()
    share = mannwhitneyu(quality[~wrong], quality[wrong]).statistic / (wrong.sum() * (~wrong).sum())
    assert metrics.audit_auroc(quality, wrong) == pytest.approx(share)
    assert metrics.audit_auroc(np.array([0.1, 0.9]), np.array([True, False])) == 1


def test_average_precision_ranks_the_worst_first() -> None:
    assert metrics.average_precision(np.array([0.1, 0.5, 0.9]), np.array([True, False, True])) == pytest.approx(5 / 6)
    quality, wrong = scene()
    assert metrics.average_precision(quality, wrong) == pytest.approx(average_precision_score(wrong, -quality))


@pytest.mark.parametrize("wrong", [np.zeros(5, bool), np.ones(5, bool), np.zeros(0, bool)])
def test_ranking_has_no_score_where_there_is_nothing_to_rank(wrong: np.ndarray) -> None:
    assert metrics.audit_auroc(np.linspace(0, 1, len(wrong)), wrong) is None
    assert metrics.average_precision(np.linspace(0, 1, len(wrong)), wrong) is None


def test_precision_and_recall_equal_scikit_learns() -> None:
    quality, wrong = scene()
    found = metrics.precision_recall(quality < 0.3, wrong)
    assert found.precision == pytest.approx(precision_score(wrong, quality < 0.3))
    assert found.recall == pytest.approx(recall_score(wrong, quality < 0.3))


def test_precision_and_recall_are_none_where_nothing_is_flagged_or_wrong() -> None:
    assert metrics.precision_recall(np.array([False]), np.array([True])) == (None, 0)
    assert metrics.precision_recall(np.array([True]), np.array([False])) == (0, None)


def test_bootstrap_of_one_run_agrees_with_scipys() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.random(400) < 0.8, generator.random(400) < 0.7
    ours = metrics.paired_bootstrap(a, b, seed=1, n=4000)
    gain = a.astype(float) - b
    theirs = bootstrap((gain,), np.mean, n_resamples=4000, method="percentile", rng=2).confidence_interval
    assert ours.mean == pytest.approx(gain.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_bootstrap_widens_with_the_spread_of_the_runs_and_repeats_with_its_seed() -> None:
    steady = np.zeros((3, 300), bool)
    steady[:, :150] = True
    uneven = np.zeros((3, 300), bool)
    uneven[0, :], uneven[1, :150] = True, True
    none = np.zeros((3, 300), bool)
    narrow, wide = (metrics.paired_bootstrap(x, none, seed=0, n=500) for x in (steady, uneven))
    assert narrow.mean == wide.mean == 0.5
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert metrics.paired_bootstrap(uneven, none, seed=0, n=500) == wide


def test_bootstrap_of_a_method_with_itself_is_zero() -> None:
    correct = np.random.default_rng(0).random((3, 50)) < 0.6
    assert metrics.paired_bootstrap(correct, correct, seed=0, n=50) == (0, 0, 0)


def test_bootstrap_needs_the_same_runs_and_samples() -> None:
    with pytest.raises(ValueError, match=r"same runs and samples.*\(3, 5\) and \(3, 4\)"):
        metrics.paired_bootstrap(np.ones((3, 5), bool), np.ones((3, 4), bool), seed=0)
