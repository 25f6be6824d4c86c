"""Data that say little or contradict themselves: a stated result or one sentence, never a changed label by accident."""

import warnings
from typing import Any

import numpy as np
import pytest

from srrs import audit_labels
from srrs.errors import DataError
from srrs.records import Group
from srrs.screening.decision import decide
from srrs.screening.mixtures import gmm_bands

RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 3
CENTERS = np.eye(8)[:3]
FEATURES = CENTERS[LABELS] + 0.1 * RNG.standard_normal((60, 8))


def changed(labels: Any, **sources: Any) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        audit = audit_labels(labels, **sources)
    assert audit.round is not None
    assert np.isfinite(audit.round.quality).all()
    assert 0 <= audit.noise.low <= audit.noise.rate <= audit.noise.high <= 1
    return int((audit.round.targets.hard != audit.round.evidence.labels).sum())


@pytest.mark.parametrize(
    ("labels", "sources"),
    [
        (np.zeros(60, int), {"features": FEATURES}),
        (np.arange(60), {"features": FEATURES}),
        (LABELS, {"features": np.tile(FEATURES[:1], (60, 1))}),
        (LABELS, {"features": np.zeros((60, 8)), "class_vectors": CENTERS}),
        (LABELS, {"pred_probs": np.full((60, 3), 1 / 3)}),
        (LABELS, {"pred_probs": np.zeros((60, 3))}),
        (LABELS, {"pred_probs": np.eye(3)[LABELS]}),
        (LABELS, {"features": FEATURES[:, :1]}),
        (LABELS[:1], {"features": FEATURES[:1]}),
        (LABELS[:2], {"features": FEATURES[:2]}),
    ],
    ids=[
        "one class", "one image a class", "all images the same", "no image shows anything", "predictions of nothing",
        "predictions of zero", "predictions of the labels", "one number an image", "one image", "two images",
    ],
)  # fmt: skip
def test_data_that_prove_no_label_wrong_change_none(labels: np.ndarray, sources: dict[str, np.ndarray]) -> None:
    assert changed(labels, **sources) == 0


def test_labels_that_are_all_wrong_in_a_pattern_are_believed_and_not_applied_unreviewed() -> None:
    wrong = (LABELS + 1) % 3
    audit = audit_labels(wrong, features=FEATURES, class_vectors=CENTERS)
    assert not audit.trusted
    assert any("If the names are right and most labels are wrong in a pattern" in each.text for each in audit.findings)
    audit = audit_labels(wrong, features=FEATURES, class_vectors=CENTERS, trust="model")
    assert audit.noise.rate > 0.9
    assert any("More than half of the labels seem wrong" in each.text for each in audit.findings)


@pytest.mark.parametrize("score", [0.0, 0.3, 1.0])
def test_a_matcher_of_one_constant_score_changes_no_result(score: float) -> None:
    given = np.where(np.arange(60) % 10 == 0, (LABELS + 1) % 3, LABELS)
    sources = {"features": FEATURES, "zero_shot": np.log(0.1 + 0.7 * np.eye(3)[LABELS])}
    alone = decide(given, classes=3, **sources)
    matched = decide(given, classes=3, **sources, match=lambda rows, _: np.full(len(rows), score))
    np.testing.assert_array_equal(matched.target, alone.target)
    assert np.isfinite(matched.p_clean).all()


def test_a_mixture_that_does_not_separate_calls_no_label_surely_wrong_and_clean_at_once() -> None:
    loss = RNG.normal(1, 0.1, 300)
    found = gmm_bands(loss)
    assert np.isfinite(found.p_clean).all()
    assert set(np.unique(found.group)) <= set(Group)
    assert loss[found.group == Group.CLEAN].max(initial=-9) <= loss[found.group == Group.NOISY].min(initial=9)


@pytest.mark.parametrize(
    ("labels", "more", "message"),
    [
        ([None, *"abc" * 5], {}, "a label for each image, but row 0 has none (1 of 16 rows). Leave these rows out."),
        (["a", " ", *"abc" * 4, "", "a"], {}, "row 1 has none (2 of 16 rows)"),
        (np.array([0.0, np.nan, *[1.0, 2.0] * 7]), {}, "row 1 has none"),
        (np.arange(16) - 1, {}, "labels from 0 to 14"),
        (np.arange(16) % 3, {"class_names": ("cat", "dog", "cat")}, "each class name once, but 'cat' stands there"),
        (np.arange(16) % 3, {"ids": ["a"] * 16}, "an id of its own for each of 16 images, but found 1"),
        (np.arange(16) % 3, {"features": np.full((16, 8), np.nan)}, "finite numbers in features, but row 0 has others"),
        (np.zeros(0, int), {"features": np.zeros((0, 8))}, "labels as a list, one for each image"),
    ],
)
def test_what_cannot_be_audited_is_one_sentence(labels: Any, more: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        audit_labels(labels, **{"features": FEATURES[:16], **more})
    assert message in str(caught.value)
