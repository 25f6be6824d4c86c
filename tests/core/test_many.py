"""Arrays that are not held whole give what whole ones give."""

import numpy as np
import pytest

from srrs.core import many
from srrs.core.many import ComputedRows, TopClasses, class_probabilities

ROWS, CLASSES = 40, 30


@pytest.fixture
def probs() -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.full(CLASSES, 0.2), ROWS).astype(np.float32)


@pytest.fixture
def top(probs: np.ndarray) -> TopClasses:
    """The same probabilities, put in by parts, of 20 candidate classes a row."""
    labels = np.arange(ROWS) % CLASSES
    index = np.sort(np.argsort(-(probs + np.eye(CLASSES)[labels]), axis=1)[:, :20], axis=1)
    found = TopClasses(labels, CLASSES)
    for rows in np.array_split(np.random.default_rng(1).permutation(ROWS), 3):
        found[rows[:, None], index[rows]] = np.take_along_axis(probs, index, 1)[rows]
    return found


def test_the_likeliest_classes_and_that_of_the_label_are_exact(probs, top) -> None:
    rows, labels = np.arange(ROWS), np.arange(ROWS) % CLASSES
    assert np.array_equal(top.argmax(1), probs.argmax(1))
    assert np.array_equal(top[rows, labels], probs[rows, labels])
    dense, likely = np.asarray(top), np.argsort(-probs, axis=1)[:, : many.KEPT]
    assert np.array_equal(np.take_along_axis(dense, likely, 1), np.take_along_axis(probs, likely, 1))
    assert np.array_equal(dense[rows, labels], probs[rows, labels])
    assert np.array_equal(top[rows, rows % 7], dense[rows, rows % 7])


def test_the_rest_is_shared_by_the_other_classes(probs, top) -> None:
    dense = np.asarray(top)
    np.testing.assert_allclose(dense.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(top.sum(1), 1, atol=1e-6)
    assert all(len(np.unique(row[row < np.sort(row)[-many.KEPT - 1]])) <= 1 for row in dense)


def test_fewer_classes_than_are_kept_are_all_exact() -> None:
    probs = np.random.default_rng(0).dirichlet(np.ones(3), 5).astype(np.float32)
    top = TopClasses(np.array([0, 1, 2, 0, 1]), 3)
    top[np.arange(5)[:, None], np.broadcast_to(np.arange(3), (5, 3))] = probs
    np.testing.assert_allclose(np.asarray(top), probs, atol=1e-7)


def test_a_certain_label_leaves_the_other_rows_alone(top) -> None:
    changed = top.with_certain(np.array([3, 5]), np.array([7, 8]))
    assert changed.argmax(1)[[3, 5]].tolist() == [7, 8]
    assert np.asarray(changed)[[3, 5]].sum(1).tolist() == [1, 1]
    assert np.array_equal(np.asarray(changed)[6:], np.asarray(top)[6:])


def test_an_array_is_held_whole_unless_it_is_huge(monkeypatch) -> None:
    assert isinstance(class_probabilities(np.zeros(5, int), 4), np.ndarray)
    monkeypatch.setattr(many, "ENTRIES", 19)
    assert isinstance(class_probabilities(np.zeros(5, int), 4), TopClasses)


def test_computed_rows_are_those_asked_for(probs) -> None:
    rows = ComputedRows(probs.shape, lambda rows: probs[rows])
    assert np.array_equal(np.asarray(rows), probs)
    assert np.array_equal(rows[np.array([3, 1])], probs[[3, 1]])
    changed = rows.with_rows(np.array([2, 4]), np.zeros((2, CLASSES)))
    assert np.array_equal(changed[np.array([4, 1])], [np.zeros(CLASSES), probs[1]])
    assert np.array_equal(changed[slice(0, 3)], [probs[0], probs[1], np.zeros(CLASSES)])
