from dataclasses import replace

import numpy as np
import pytest

from srrs.methods.rectify import blend, keep, posterior
from srrs.records import Group

PROBS = np.array([[[0.6, 0.2, 0.2], [0.4, 0.4, 0.2]]] * 4)  # mean 0.5, 0.3, 0.2
LABELS = np.array([1, 1, 1, 2])
GROUPS = [Group.CLEAN, Group.AMBIGUOUS, Group.NOISY, Group.OUTSIDE]


def squared(*values: float) -> np.ndarray:
    return np.square(values) / np.square(values).sum()


def test_a_blend_keeps_the_clean_mixes_the_ambiguous_and_replaces_the_noisy(evidence, partition) -> None:
    found, memory = blend(sharpness=2)(
        evidence(probs=PROBS, labels=LABELS), partition(GROUPS, [0.9, 0.6, 0.3, 0.3]), {"kept": np.ones(1)}
    )
    expected = [
        np.array([0, 1, 0]),
        squared(0.4 * 0.5, 0.6 + 0.4 * 0.3, 0.4 * 0.2),
        squared(0.5, 0.3, 0.2),
        squared(0.5, 0.3, 0.2),
    ]
    np.testing.assert_allclose(found.soft, expected, rtol=1e-6)
    np.testing.assert_array_equal(found.hard, [1, 1, 0, 0])
    np.testing.assert_array_equal(found.weight, 1)
    assert list(memory) == ["kept"]


def test_without_sharpening_a_noisy_sample_takes_the_learners_mean(evidence, partition) -> None:
    found, _ = blend(sharpness=1)(evidence(probs=PROBS, labels=LABELS), partition([Group.NOISY] * 4), {})
    np.testing.assert_allclose(found.soft, PROBS.mean(1), rtol=1e-6)


def test_a_fixed_weight_blends_the_ambiguous_alone(evidence, partition) -> None:
    found, _ = blend(1, weight=0.3)(evidence(probs=PROBS, labels=LABELS), partition(GROUPS, [0.9, 0.6, 0.3, 0.3]), {})
    np.testing.assert_allclose(found.soft, [[0, 1, 0], [0.35, 0.51, 0.14], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], rtol=1e-6)


def test_keeping_gives_the_labels_whatever_screening_says(evidence, partition) -> None:
    found, _ = keep()(evidence(probs=PROBS, labels=LABELS), partition([Group.NOISY] * 4), {})
    np.testing.assert_array_equal(found.soft, np.eye(3)[LABELS])


def test_the_posterior_is_screenings_own(evidence, partition) -> None:
    q = np.random.default_rng(0).dirichlet(np.ones(3), 4)
    found, _ = posterior()(evidence(probs=PROBS, labels=LABELS), partition(GROUPS, posterior=q), {})
    np.testing.assert_array_equal(found.soft, q)


def test_a_screening_stage_without_a_posterior_is_named_as_the_cause(evidence, partition) -> None:
    with pytest.raises(ValueError, match="needs a screening stage that gives one"):
        posterior()(evidence(probs=PROBS, labels=LABELS), partition(GROUPS), {})


def test_the_rectified_labels_are_those_of_screening_where_it_names_them(evidence, partition) -> None:
    likely = np.eye(3)[[2, 2, 2, 0]]
    kept = replace(partition(GROUPS, posterior=likely), rectified=np.array(LABELS))
    found, _ = posterior()(evidence(probs=PROBS, labels=LABELS), kept, {})
    np.testing.assert_array_equal(found.hard, LABELS)
    np.testing.assert_array_equal(found.soft, likely)


def test_images_of_no_class_are_not_learned_from(evidence, partition) -> None:
    groups = [Group.CLEAN, Group.OUTSIDE, Group.NOISY, Group.OUTSIDE]
    found, _ = posterior()(
        evidence(probs=PROBS, labels=LABELS), partition(groups, posterior=np.eye(3)[[0, 1, 2, 0]]), {}
    )
    np.testing.assert_array_equal(found.weight, [1, 0, 1, 0])


def test_a_blend_in_blocks_is_that_at_once(evidence, partition, monkeypatch) -> None:
    given = evidence(n=3000, classes=8)
    parts = partition([Group(i % 3) for i in range(3000)], list(np.random.default_rng(0).random(3000)))
    exact = blend()(given, parts, {})[0].soft
    monkeypatch.setattr("srrs.core.blocks.WHOLE", 1000)
    monkeypatch.setattr("srrs.core.blocks.ROWS", 700)
    in_blocks = blend()(given, parts, {})[0].soft
    assert in_blocks.dtype == keep()(given, parts, {})[0].soft.dtype == np.float32
    np.testing.assert_allclose(in_blocks, exact, atol=1e-6)
