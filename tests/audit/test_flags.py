from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from srrs.audit.flags import Photos, cells, counts, duplicates, is_trusted, joined, off_topic, twins_of
from srrs.records import Group


@pytest.fixture
def photos() -> Photos:
    """Six photos: 'b' is a file of the same bytes as 'e', 'c' nearly the same picture as 'f'."""
    rng = np.random.default_rng(0)
    features, looks = rng.normal(size=(6, 8)), rng.normal(size=(6, 32))
    for one, other in ((1, 4), (2, 5)):
        features[other], looks[other] = features[one], looks[one]
    unit = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in (features, looks)]
    return Photos(tuple("abcdef"), ("cat", "cat", "cat", "dog", "dog", "cat"), ("1", "2", "3", "4", "2", "6"), *unit)


def flagged(photos: Photos) -> dict[str, list[str]]:
    return {photos.ids[row]: flags for row, flags in duplicates(photos).items()}


def shuffled(photos: Photos, order: np.ndarray) -> Photos:
    texts = [tuple(column[i] for i in order) for column in (photos.ids, photos.given, photos.keys)]
    return Photos(*texts, photos.features[order], photos.looks[order])


def test_duplicates_name_each_other_and_the_other_class(photos) -> None:
    found = flagged(photos)
    assert found["b"] == ["duplicate of e (labeled dog)"]
    assert found["e"] == ["duplicate of b (labeled cat)"]
    assert found["c"] == ["near-duplicate of f"]
    assert set(found) == set("becf")


def test_of_very_many_photos_the_same_files_alone_are_found(photos, monkeypatch) -> None:
    monkeypatch.setattr("srrs.core.blocks.WHOLE", 5)
    found = flagged(photos)
    assert found["b"] == ["duplicate of e (labeled dog)"]
    assert set(found) == set("be")


def test_the_order_of_the_photos_changes_no_flag(photos) -> None:
    order = np.random.default_rng(1).permutation(6)
    other = shuffled(photos, order)
    assert flagged(other) == flagged(photos)


def test_photos_that_are_also_in_the_test_set_say_so(photos) -> None:
    test = Photos(("x;y",), ("dog",), ("1",), photos.features[:1], photos.looks[:1])
    assert duplicates(photos, test)[0] == ["duplicate of test image x,y (labeled dog)"]
    assert duplicates(photos, replace(test, keys=("9",)))[0] == ["near-duplicate of test image x,y (labeled dog)"]


def test_cells_hold_all_flags_and_counts_tell_them(photos) -> None:
    photos = replace(photos, defects=(("dark", "blurry"), *[()] * 5))
    found = cells(photos, np.array([True, *[False] * 5]), {"c"})
    assert found["a"] == "off-topic; dark; blurry"
    assert found["c"] == "trusted; near-duplicate of f"
    assert "d" not in found
    assert counts(pd.Series(list(found.values()), dtype=object)) == {
        **{"trusted": 1, "duplicate": 2, "near-duplicate": 2, "off-topic": 1, "dark": 1, "blurry": 1}
    }
    assert [id for id, cell in found.items() if is_trusted(cell)] == ["c"]


def test_words_of_others_stand_behind_ours_and_none_twice() -> None:
    assert joined("trusted; dark", ["dark", "odd size"]) == "trusted; dark; odd size"
    assert joined(None, ["light"]) == "light"
    assert joined(None, ["a; b"]) == "a, b"
    assert joined("near-duplicate of dark", ["dark"]) == "near-duplicate of dark; dark"
    assert joined(None, []) is None
    assert counts(pd.Series(["odd size; dark", "light", None, "odd size"])) == {"dark": 1, "light": 1, "odd size": 2}
    assert [*counts(pd.Series(["odd size; dark", "light"]))] == ["dark", "light", "odd size"]


def test_what_is_unlike_all_classes_is_off_topic(monkeypatch) -> None:
    """Two classes, and: 0 of neither at all, 2 and 4 a little off, of which only 4 has a doubted label."""
    rng = np.random.default_rng(0)
    features = np.eye(8)[np.arange(400) % 2] + 0.1 * rng.normal(size=(400, 8))
    features[0] = np.eye(8)[5]
    for row in (2, 4):
        features[row] = np.eye(8)[0] + 0.6 * np.eye(8)[row]
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    group = np.full(400, Group.CLEAN, dtype=np.int8)
    group[[4, 6]] = Group.NOISY
    found = off_topic(features, group == Group.CLEAN, np.eye(8)[:2])
    assert found[[0, 4]].all()
    assert not found[6]
    assert found.mean() < 0.1
    assert not off_topic(features[:20], group[:20] == Group.CLEAN, np.eye(8)[:2]).any()  # too few to say
    monkeypatch.setattr("srrs.core.blocks.WHOLE", 399)
    assert not off_topic(features, group == Group.CLEAN, np.eye(8)[:2]).any()  # too many to compare


@pytest.mark.parametrize("spelled", ["labeled", "labelled"])
def test_the_other_image_is_named_before_its_label_in_both_spellings(spelled):
    cells = [f"tiny; near-duplicate of b (labeled 1) ({spelled} dog)", f"duplicate of c ({spelled} cat)", None]
    assert twins_of(cells, ["b (labeled 1)", "c"]) == [["b (labeled 1)"], ["c"], []]
