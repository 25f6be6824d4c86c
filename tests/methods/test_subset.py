"""Rectifying that leaves samples out."""

from dataclasses import replace

import numpy as np
import pytest

from srrs.methods.subset import clean_alone, confident_zero_shot
from srrs.records import Group


def test_only_clean_samples_teach_and_with_their_given_labels(evidence, partition) -> None:
    given = evidence(labels=np.array([0, 1, 2, 1]), n=4)
    parts = partition([Group.CLEAN, Group.NOISY, Group.AMBIGUOUS, Group.CLEAN])
    targets, _ = clean_alone()(given, parts, {})
    np.testing.assert_array_equal(targets.weight, [1, 0, 0, 1])
    np.testing.assert_array_equal(targets.hard, given.labels)


@pytest.mark.parametrize(("per_class", "wanted"), [(None, 10), (2, 2), (100, 30)])
def test_the_most_confident_zero_shot_labels_of_each_class_teach(evidence, partition, per_class, wanted) -> None:
    given = evidence(n=30)
    targets, _ = confident_zero_shot(per_class)(given, partition([Group.CLEAN] * 30), {})
    predicted, confidence = given.zero_shot.argmax(1), given.zero_shot.max(1)
    np.testing.assert_array_equal(targets.hard, predicted)
    for k in range(3):
        members = np.flatnonzero(predicted == k)
        best = members[np.argsort(-confidence[members])[:wanted]]
        assert set(np.flatnonzero((targets.weight > 0) & (predicted == k))) == set(best)


def test_zero_shot_labels_do_not_depend_on_the_given_ones(evidence, partition) -> None:
    parts = partition([Group.CLEAN] * 30)
    given = evidence(n=30)
    one, _ = confident_zero_shot()(given, parts, {})
    other, _ = confident_zero_shot()(replace(given, labels=(given.labels + 1) % 3), parts, {})
    np.testing.assert_array_equal(one.soft, other.soft)
    np.testing.assert_array_equal(one.weight, other.weight)


def test_equally_confident_ones_stand_together(evidence, partition) -> None:
    given = evidence(n=4)
    given.zero_shot[:] = [0.8, 0.1, 0.1]
    targets, _ = confident_zero_shot(2)(given, partition([Group.CLEAN] * 4), {})
    np.testing.assert_array_equal(targets.weight, 1)
