import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from srrs.data.classes import read_names
from srrs.data.samples import (
    checked,
    from_csv,
    from_folder,
    from_frame,
    from_paths,
    looks_like_codes,
    read,
)
from srrs.data.tables import apart, text_of
from srrs.errors import DataError
from srrs.estimator.inputs import certain


def picture(path, shade=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (shade, shade, shade)).save(path)
    return path


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    for shade, name in enumerate(("hot_dog/b.jpg", "hot_dog/deep/er/a.png", "cat/1.JPG", "cat/2.jpg")):
        picture(root / name, 40 * shade)
    return root


def table(folder, text, name="labels.csv", encoding="utf-8"):
    path = folder / name
    path.write_text(text, encoding=encoding)
    return path


def test_a_folder_gives_ids_classes_and_labels(photos):
    samples = from_folder(photos)
    assert samples.ids == ("cat/1.JPG", "cat/2.jpg", "hot_dog/b.jpg", "hot_dog/deep/er/a.png")
    assert samples.class_names == ("cat", "hot dog")
    assert samples.class_keys == ("cat", "hot_dog")
    assert samples.labels.tolist() == [0, 0, 1, 1]
    assert samples.given[-1] == "hot dog"
    assert samples.issues == ("",) * 4
    assert samples.notes == ()


def test_what_a_folder_leaves_out_is_counted(photos):
    (photos / "cat" / ".DS_Store").write_text("x")
    (photos / "cat" / "notes.txt").write_text("x")
    (photos / ".git" / "cat").mkdir(parents=True)
    (photos / "empty").mkdir()
    picture(photos / "loose.jpg")
    (photos / "cat" / "text.jpg").write_text("words")
    samples = from_folder(photos)
    assert len(samples) == 5
    assert "cat/text.jpg" in samples.ids
    notes = " ".join(samples.notes)
    for part in ("Hidden files were left out: 1", "1 .txt", "empty", "outside the class folders, were left out: 1"):
        assert part in notes


def test_csv_and_frame_agree_with_the_folder(photos, tmp_path):
    folder = checked(from_folder(photos))
    rows = [f"photos/{name},{given}" for name, given in zip(folder.ids, folder.given, strict=True)][::-1]
    by_csv = checked(read(table(tmp_path, "File,Class\n" + "\n".join(rows))))
    frame = pd.DataFrame({"image": folder.ids, "label": [name.split("/")[0] for name in folder.ids]}).iloc[::-1]
    by_frame = checked(read(frame, images=photos))
    for other in (by_csv, by_frame):
        assert other.class_names == folder.class_names
        assert other.keys[::-1] == folder.keys
        assert other.given[::-1] == folder.given
    assert by_csv.ids[0] == "photos/hot_dog/deep/er/a.png"
    assert by_frame.ids[::-1] == folder.ids


@pytest.mark.parametrize(("separator", "encoding"), [(",", "utf-8-sig"), (";", "utf-8"), ("\t", "utf-8")])
def test_separators_and_byte_order_marks_are_understood(photos, separator, encoding):
    lines = [["path", "label"], ["cat/1.JPG", "Käse"], ["cat/2.jpg", "007"]]
    path = table(photos, "\n".join(separator.join(line) for line in lines), encoding=encoding)
    assert from_csv(path).class_names == ("007", "Käse")


def test_an_empty_label_and_a_missing_file_are_rows_with_an_issue(photos):
    text = "path,label\ncat/1.JPG,cat\ncat/2.jpg,\nnone.jpg,dog\nhot_dog\\b.jpg,dog\n\n"
    samples = from_csv(table(photos, text))
    assert samples.issues == ("", "no label", "missing file", "")
    assert samples.labels.tolist() == [0, -1, 1, 1]
    assert samples.usable.tolist() == [0, 3]
    after = checked(samples)
    assert after.issues == samples.issues
    assert after.keys[1]
    assert not after.keys[2]


def test_words_that_pandas_reads_as_missing_stay_labels(photos):
    samples = from_csv(table(photos, "path,label\ncat/1.JPG,None\ncat/2.jpg,nan\nhot_dog/b.jpg,NA"))
    assert samples.class_names == ("NA", "None", "nan")


def test_numbers_in_a_frame_become_whole_keys(photos):
    frame = pd.DataFrame({"path": ["cat/1.JPG", "cat/2.jpg", "hot_dog/b.jpg"], "label": [3, np.nan, 1]})
    samples = from_frame(frame, images=photos)
    assert samples.class_keys == ("1", "3")
    assert samples.labels.tolist() == [1, -1, 0]
    assert [text_of(value) for value in (None, pd.NA, pd.NaT, 2.5, " a ")] == ["", "", "", "2.5", "a"]


def test_ids_come_from_their_column_or_are_made_to_differ(photos):
    text = "path,label,id\ncat/1.JPG,cat,x\ncat/2.jpg,dog,y\ncat/1.JPG,dog,z"
    assert from_csv(table(photos, text)).ids == ("x", "y", "z")
    assert from_csv(table(photos, text.replace("z", "x"))).ids == ("cat/1.JPG", "cat/2.jpg", "cat/1.JPG#2")
    with pytest.raises(DataError, match="'x' is 'cat' in row 1 and 'dog' in row 3"):
        from_csv(table(photos, text.replace("z", "x")), id_column="id")
    with pytest.raises(DataError, match="row 2 has none"):
        from_csv(table(photos, text.replace("y", "")), id_column="id")


@given(st.lists(st.sampled_from(["a", "a#2", "a#3", "b", "b#2"])))
def test_ids_made_to_differ_differ_and_keep_their_beginning(ids):
    out = apart(ids)
    assert len(set(out)) == len(ids)
    assert all(new == old or new.startswith(f"{old}#") for new, old in zip(out, ids, strict=True))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty"),
        ("a,b\ncat/1.JPG,x", r"column with the path .*found the columns a, b"),
        ("path,words\ncat/1.JPG,x", r"column with the label .*found the columns path, words"),
        ("path,label\ncat/1.JPG,x,y", "Expected 2 columns in line 2 .*found 3"),
        ("path,label\ncat/1.JPG,x\ncat/2.jpg,x", "only 'x'"),
        ("path,label\ncat/1.JPG,\ncat/2.jpg,", "no labels at all"),
        ("path,label\nnope.jpg,a\nneither.jpg,b", r"None of the 2 files .*nope\.jpg first"),
        ("path,label\n", "found none"),
        ("path,label\ncat/1.JPG,a_b\ncat/2.jpg,a b", "'a b' and 'a_b' are both 'a b'"),
    ],
)
def test_a_table_that_cannot_be_used_says_why(photos, text, message):
    with pytest.raises(DataError, match=message):
        from_csv(table(photos, text))


def test_other_encodings_are_named(photos):
    path = photos / "latin.csv"
    path.write_bytes("path,label\na.jpg,Käse".encode("latin-1"))
    with pytest.raises(DataError, match="Save it as UTF-8"):
        read(path)


def test_folders_that_cannot_be_used_say_what_was_expected(photos, tmp_path):
    with pytest.raises(DataError, match=r"lie in .*cat itself"):
        from_folder(photos / "cat")
    assert len(read(photos / "cat", labeled=False)) == 2
    (tmp_path / "void").mkdir()
    with pytest.raises(DataError, match="found none"):
        from_folder(tmp_path / "void")
    with pytest.raises(DataError, match="nothing there"):
        read(tmp_path / "nowhere")
    for part in ("train", "test"):
        picture(tmp_path / "split" / part / "cat" / "a.jpg")
    with pytest.raises(DataError, match="found the parts test, train"):
        from_folder(tmp_path / "split")


def test_unlabeled_reading_leaves_labels_open(photos):
    samples = read(photos, labeled=False)
    assert samples.labels.tolist() == [-1] * 4
    assert samples.class_names == ()
    assert samples.usable.size == 4
    one = read(photos / "cat" / "1.JPG", labeled=False)
    assert one.ids == ((photos / "cat" / "1.JPG").as_posix(),)


def test_a_list_takes_words_or_positions(photos):
    paths = [photos / "cat" / "1.JPG", photos / "cat" / "2.jpg", photos / "none.jpg"]
    by_words = from_paths(paths, ["cat", "hot_dog", None])
    assert by_words.labels.tolist() == [0, 1, -1]
    by_position = read([str(path) for path in paths], np.array([1, 0, -1]), class_names=["hot dog", "cat"])
    assert by_position.labels.tolist() == [1, 0, -1]
    assert by_position.issues[2] == "missing file"
    with pytest.raises(DataError, match="3 paths and 1 labels"):
        from_paths(paths, ["cat"])
    with pytest.raises(DataError, match="got none"):
        read(paths)
    with pytest.raises(DataError, match="from 0 to 1, one per class name, but got 2"):
        from_paths(paths, [0, 1, 2], class_names=["a", "b"])


def test_fixed_classes_keep_their_order_and_name_strangers(photos):
    samples = from_folder(photos, class_names=["hot dog", "cat", "cow"])
    assert samples.labels.tolist() == [1, 1, 0, 0]
    with pytest.raises(DataError, match=r"found 'hot_dog'\. Did you mean 'hot dogs'"):
        from_folder(photos, class_names=["hot dogs", "cat"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("n.json", json.dumps({"cat": "tabby cat", "hot_dog": "sausage", "more": "x"})),
        ("n.yaml", "cat: tabby cat\nhot_dog: sausage\n01: 'no'\n"),
        ("n.csv", 'code,words\ncat,tabby cat\nhot_dog,"sausage"\n'),
        ("n.tsv", "cat\ttabby cat\nhot_dog\tsausage\n"),
        ("n.txt", "cat tabby cat\nhot_dog sausage\n"),
    ],
)
def test_names_turn_keys_into_words(photos, tmp_path, name, text):
    samples = from_folder(photos, names=table(tmp_path, text, name))
    assert samples.class_names == ("sausage", "tabby cat")
    assert samples.class_keys == ("hot_dog", "cat")
    assert samples.given == ("tabby cat", "tabby cat", "sausage", "sausage")
    assert samples.label_names == ("hot_dog", "cat")
    fixed = from_folder(photos, names=table(tmp_path, text, name), class_names=("tabby cat", "sausage", "owl"))
    assert fixed.label_names == ("cat", "hot_dog", "owl")


def test_trusted_labels_are_the_users_own_or_names(photos):
    samples = from_folder(photos, names={"cat": "tabby", "hot_dog": "sausage"})
    trusted = {samples.ids[0]: "hot_dog", samples.ids[1]: "sausage"}
    assert [decision.label for decision in certain(trusted, samples).values()] == ["hot_dog"] * 2


def test_names_that_do_not_fit_are_told(photos, tmp_path):
    assert "hot_dog" in from_folder(photos, names={"cat": "tabby"}).notes[0]
    with pytest.raises(DataError, match="names given are those of n01"):
        from_folder(photos, names={"n01": "tabby"})
    with pytest.raises(DataError, match="'cat' and 'hot_dog' are both 'Pet'"):
        from_folder(photos, names={"cat": "Pet", "hot_dog": "Pet"})
    with pytest.raises(DataError, match="'cat' and 'hot_dog' are both 'pet'"):
        from_folder(photos, names={"cat": "Pet", "hot_dog": "pet"})
    for name, text in (("n.json", "[1]"), ("n.json", "{"), ("n.yaml", "a: [b"), ("n.csv", "alone")):
        with pytest.raises(DataError, match="Expected class keys and their words"):
            read_names(table(tmp_path, text, name))


def test_codes_are_told_from_words():
    codes = ["n01443537", "c01", "12", "class_3", "class 3", "Label-4"]
    assert looks_like_codes([*codes, "cat", "Boeing 747", "hot dog", "class"]) == codes


def test_checking_finds_what_is_wrong_with_each_file(photos):
    whole = (photos / "cat" / "1.JPG").read_bytes()
    (photos / "cat" / "cut.jpg").write_bytes(whole[: len(whole) - 20])
    (photos / "cat" / "empty.jpg").write_bytes(b"")
    (photos / "cat" / "text.jpg").write_text("words")
    steps = []
    before = from_folder(photos)
    samples = checked(before, lambda done, total: steps.append((done, total)))
    issues = dict(zip(samples.ids, samples.issues, strict=True))
    assert issues["cat/cut.jpg"] == "truncated"
    assert issues["cat/empty.jpg"] == "empty file"
    assert issues["cat/text.jpg"] == "unreadable: not an image"
    assert len(samples.usable) == 4
    assert samples.keys[0] == hashlib.sha256(whole).hexdigest()
    assert steps == [(step, 7) for step in range(1, 8)]
    assert before.keys == ("",) * 7


@given(st.permutations(range(4)))
def test_canonical_order_does_not_depend_on_the_order_of_rows(order):
    samples = from_paths([__file__] * 4, ["a", "b", "a", "b"])
    samples = type(samples)(**{**vars(samples), "keys": ("2", "1", "1", "1"), "ids": ("w", "x", "y", "z")})
    moved = samples.take(order)
    assert [moved.ids[row] for row in moved.canonical_order()] == ["y", "x", "z", "w"]


def test_rows_must_agree_in_number(photos):
    samples = from_folder(photos)
    with pytest.raises(ValueError, match="one entry per row"):
        type(samples)(**{**vars(samples), "keys": ()})
