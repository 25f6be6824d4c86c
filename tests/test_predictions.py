from pathlib import Path

import numpy as np
import pytest

from srrs.data.samples import Samples
from srrs.errors import DataError
from srrs.predictions import accuracy, logistic_baseline, table

NAMES = ("cat", "dog")
PROBS = np.array([[0.9, 0.1], [np.nan, np.nan], [0.3, 0.7], [0.5, 0.5]])


def samples(issues: tuple[str, ...] = ("", "empty file", "", "no label")) -> Samples:
    ids = ("a.jpg", "b.jpg", "c.jpg", "d.jpg")
    labels = np.array([0, 0, 0, -1])
    return Samples(ids, tuple(Path("x") / i for i in ids), labels, NAMES, NAMES, issues, ("k",) * 4)


def test_the_table_has_a_row_per_sample_in_the_users_order() -> None:
    found = table(samples(), PROBS, NAMES)
    assert list(found.columns) == ["id", "path", "predicted", "confidence", "issue"]
    assert found.id.tolist() == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert found.predicted.tolist() == ["cat", None, "dog", "cat"]
    np.testing.assert_allclose(found.confidence, [0.9, np.nan, 0.7, 0.5])
    assert found.issue.tolist() == ["", "empty file", "", ""]  # a label is not needed to predict


def test_accuracy_counts_what_is_usable_and_labeled() -> None:
    assert accuracy(samples(), PROBS) == 0.5


def test_accuracy_of_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="Expected labeled images to test on, but found none usable among 4"):
        accuracy(samples(("empty file",) * 4), PROBS)


def test_logistic_regression_learns_separable_classes_and_knows_its_cross_validated_accuracy() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    features = np.eye(3)[labels] @ rng.normal(size=(3, 16)) + 0.1 * rng.normal(size=(120, 16))
    given = labels.copy()
    given[:24] = (given[:24] + 1) % 3
    baseline = logistic_baseline(features, given)
    assert baseline is not None
    assert baseline.accuracy == pytest.approx(0.8, abs=0.05)
    assert baseline.test(features, labels) > 0.95
    assert logistic_baseline(features, given).accuracy == baseline.accuracy


def test_logistic_regression_needs_ten_images_of_two_classes() -> None:
    assert logistic_baseline(np.ones((9, 2)), np.arange(9) % 2) is None
    assert logistic_baseline(np.ones((20, 2)), np.zeros(20, int)) is None
