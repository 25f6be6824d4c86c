"""Labels that differ in how they are written only, and folders whose classes lie on another level."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srrs.data.samples import from_folder, from_paths, read
from srrs.data.spelling import plain_form, unified
from srrs.errors import DataError

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


def labeled(*labels, **options):
    return from_paths([__file__] * len(labels), labels, **options)


@pytest.mark.parametrize(
    ("often", "seldom"),
    [
        (COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED), ("cat", "\uff43\uff41\uff54"), ("cat", "ca\u200bt"),
        ("cat", "cat\ufeff"), ("sea horse", "sea\u00a0horse"), ("sea horse", "sea  horse"),
    ],
)  # fmt: skip
def test_labels_that_unicode_writes_in_two_ways_are_one_class_and_a_note_says_so(often, seldom):
    samples = labeled(often, often, seldom, "dog")
    assert samples.class_keys == tuple(sorted(("dog", often)))
    assert len(set(samples.labels[:3].tolist())) == 1
    (note,) = samples.notes
    assert "differ only in how Unicode writes them: read as one class" in note
    assert f"{often!a} (2)" in note
    assert f"{seldom!a} (1)" in note


def test_fixed_classes_are_found_in_either_form():
    assert labeled(DECOMPOSED, "dog", class_names=[COMPOSED, "dog"]).labels.tolist() == [0, 1]


def test_a_label_of_invisible_characters_is_none():
    samples = labeled("cat", "\u200b", "dog")
    assert samples.issues == ("", "no label", "")
    assert samples.notes == ("1 labels hold only invisible characters: read as no label.",)


def test_labels_that_differ_in_case_are_one_class_on_request_only():
    with pytest.raises(DataError, match=r"'Dog' and 'dog' are both .* as one class, give --merge-case"):
        labeled("Dog", "dog", "cat")
    samples = labeled("Dog", "dog", "dog", "cat", merge_case=True)
    assert samples.class_names == ("cat", "dog")
    assert "'Dog' (1) and 'dog' (2) differ only in case" in samples.notes[0]


@given(st.lists(st.text("aA\u00e9\u200b\uff21 e\u0301", max_size=3), max_size=8), st.booleans())
def test_unified_labels_are_those_of_one_plain_form(labels, merge_case):
    found, _ = unified(labels, merge_case)
    for one, other in zip(labels, found, strict=True):
        same = [plain_form(text).casefold() if merge_case else plain_form(text) for text in (one, other)]
        assert same[0] == same[1]
        assert other in labels or not plain_form(one)
    assert unified(labels[::-1], merge_case)[0] == found[::-1]
    forms = {unicodedata.normalize("NFKC", label) for label in found}
    assert len(forms) == len(set(found))


def files(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_dates_above_the_classes_are_noticed(tmp_path):
    files(tmp_path, *(f"{day}/{kind}/1.jpg" for day in ("2024-01-05", "2024-02-07") for kind in ("cat", "dog")))
    with pytest.raises(
        DataError, match=r"first folders are dates \(2024-01-05, 2024-02-07\).*cat, dog stand in several"
    ):
        from_folder(tmp_path)
    assert from_folder(tmp_path / "2024-01-05").class_names == ("cat", "dog")
    assert len(read(tmp_path, labeled=False)) == 4


def test_dates_of_one_class_each_are_noticed(tmp_path):
    files(tmp_path, "05.01.2024/cat/1.jpg", "06.01.2024/dog/1.jpg")
    with pytest.raises(DataError, match=r"first folders are dates .* and all images are in folders below them"):
        from_folder(tmp_path)


def test_dates_that_hold_the_images_themselves_are_a_note(tmp_path):
    samples = from_folder(files(tmp_path, "2024-01-05/1.jpg", "2024-01-06/1.jpg"))
    assert samples.class_names == ("2024-01-05", "2024-01-06")
    assert "are dates (2024-01-05, 2024-01-06). If the classes are not dates, give a table." in samples.notes[0]


def test_other_folders_that_repeat_below_the_classes_are_a_note(tmp_path):
    files(tmp_path, *(f"{kind}/{side}/1.jpg" for side in ("front", "back") for kind in ("cat", "dog")))
    samples = from_folder(tmp_path)
    assert samples.class_names == ("cat", "dog")
    assert "folders back, front stand in several of them: if those are the classes" in samples.notes[0]
    files(tmp_path, "cat/one/1.jpg")
    assert from_folder(tmp_path).notes == ()


def test_a_folder_that_holds_the_folder_of_classes_is_named(tmp_path):
    files(tmp_path, "photos/cat/1.jpg", "photos/dog/1.jpg")
    with pytest.raises(DataError, match=r"found only the folder photos, with 2 in it: give \S+photos\."):
        from_folder(tmp_path)
