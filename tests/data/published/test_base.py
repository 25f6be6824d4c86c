import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srrs.data.published import DATASETS, DataSet, Split, read_dataset, subset
from srrs.data.published.base import check_files, make_split, read_lines, read_numbered
from srrs.errors import DataError

NAMES = ("ant", "bee", "cat", "dog", "elk")


def split(labels, given=None, **fields):
    paths = tuple(f"{number}.jpg" for number in range(len(labels)))
    given = None if given is None else np.array(given)
    return Split(paths, tuple(Path("root", path) for path in paths), np.array(labels), given, **fields)


def dataset(train=None):
    return DataSet("five", NAMES, train or split([0, 1, 2, 3, 4, 0]), split([4, 3, 2, 1, 0]), split([0, 0, 4, 2]))


@pytest.mark.parametrize("name", DATASETS)
def test_every_reader_says_what_to_download_and_where_it_looked(name, tmp_path):
    with pytest.raises(DataError, match=r"found nothing there.*(Download|Ask).*https://") as error:
        read_dataset(name, tmp_path)
    assert str(error.value).count(str(tmp_path)) >= 2  # where it looked, and where to put what is missing


def test_names_are_found_however_they_are_written(tmp_path):
    for name in ("OxfordPets", "oxford-pets", "oxford pets"):
        with pytest.raises(DataError, match="split_zhou_OxfordPets"):
            read_dataset(name, tmp_path)


def test_an_unknown_name_gets_a_hint(tmp_path):
    with pytest.raises(DataError, match=r"caltech101, dtd, .* but got 'caltech'. Did you mean caltech101\?"):
        read_dataset("caltech", tmp_path)


def test_a_root_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"Expected the folder that holds the datasets at .*nowhere, but there is none"):
        read_dataset("dtd", tmp_path / "nowhere")


def test_columns_of_a_split_have_one_length():
    with pytest.raises(ValueError, match="one entry per row"):
        split([0, 1], given=[0])


def test_a_subset_is_the_first_classes():
    first = subset(dataset(), 3)
    assert first.class_names == ("ant", "bee", "cat")
    assert first.train.paths == ("0.jpg", "1.jpg", "2.jpg", "5.jpg")
    assert first.train.labels.tolist() == [0, 1, 2, 0]
    assert first.val is not None
    assert first.val.labels.tolist() == [2, 1, 0]
    assert first.test.labels.tolist() == [0, 0, 2]


def test_base_and_new_are_the_halves_of_cocoop_the_odd_class_in_base():
    assert subset(dataset(), "base").class_names == NAMES[:3]
    new = subset(dataset(), "new")
    assert new.class_names == NAMES[3:]
    assert new.train.labels.tolist() == [0, 1]


def test_a_subset_by_names_keeps_the_data_sets_order():
    chosen = subset(dataset(), ["elk", "bee"])
    assert chosen.class_names == ("bee", "elk")
    assert chosen.train.labels.tolist() == [0, 1]
    assert chosen.train.paths == ("1.jpg", "4.jpg")


def test_a_photograph_needs_its_label_and_its_given_label_inside():
    train = split([0, 0, 1, 2, 1], given=[0, 1, 4, 0, 0], verified=np.array([1, 0, -1, 0, 0]))
    narrowed = subset(dataset(train), 2).train
    assert narrowed.labels.tolist() == [0, 0, 1]
    assert narrowed.given is not None
    assert narrowed.given.tolist() == [0, 1, 0]
    assert narrowed.verified is not None
    assert narrowed.verified.tolist() == [1, 0, 0]


def test_what_a_subset_cannot_be_is_said():
    with pytest.raises(DataError, match=r"no class 'bees'. Did you mean 'bee'\?"):
        subset(dataset(), ["bees", "ant"])
    with pytest.raises(DataError, match="at most 5 classes of five, but 6"):
        subset(dataset(), 6)
    with pytest.raises(DataError, match="at least two classes of five, but 1 leaves 1"):
        subset(dataset(), 1)


@given(st.lists(st.sampled_from(NAMES), min_size=2, unique=True), st.lists(st.integers(0, 4), min_size=1))
def test_a_subset_changes_no_class_name_of_a_photograph(names, labels):
    whole = dataset(split(labels))
    part = subset(whole, names)
    before = {path: NAMES[label] for path, label in zip(whole.train.paths, labels, strict=True)}
    after = {path: part.class_names[label] for path, label in zip(part.train.paths, part.train.labels, strict=True)}
    assert after == {path: name for path, name in before.items() if name in names}
    assert list(after) == sorted(after, key=lambda path: int(path[:-4]))


def test_missing_files_are_counted_and_the_first_three_named(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.jpg").touch()
    files = [tmp_path / folder / f"{number}.jpg" for folder in "ab" for number in range(3)]
    with pytest.raises(DataError, match=r"the 6 images of set, but 5 are missing: .*and so on. Do so") as error:
        check_files(files, "set", "Do so.")
    assert [str(file) in str(error.value) for file in files] == [False, True, True, True, False, False]


def test_a_folder_is_listed_once_and_no_file_asked_for(tmp_path, monkeypatch):
    for number in range(50):
        (tmp_path / f"{number}.jpg").touch()
    listed, listdir = [], os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: listed.append(folder) or listdir(folder))
    monkeypatch.setattr(Path, "is_file", lambda file: pytest.fail(f"asked for {file}"))
    check_files([tmp_path / f"{number}.jpg" for number in range(50)], "set", "")
    assert listed == [tmp_path]


def test_a_listing_that_spells_a_name_otherwise_is_no_missing_file(tmp_path, monkeypatch):
    (tmp_path / "A.jpg").touch()
    monkeypatch.setattr(os, "listdir", lambda folder: ["a.jpg"])
    check_files([tmp_path / "A.jpg"], "set", "")


def test_lists_are_read_without_header_and_empty_lines(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("class_name\tlabel\r\na b.jpg\t1\r\n\r\nc.jpg  12\r\n")
    assert read_lines(path, "", header="class_name") == ["a b.jpg\t1", "c.jpg  12"]
    assert read_numbered(path, "", header="class_name") == [("a b.jpg", 1), ("c.jpg", 12)]


@pytest.mark.parametrize("line", ["a.jpg", "a.jpg x", "a.jpg -1"])
def test_a_line_without_a_number_is_shown(tmp_path, line):
    path = tmp_path / "list.txt"
    path.write_text(f"ok.jpg 1\n{line}\n")
    with pytest.raises(DataError, match=f"a path and a number in each line of .*list.txt, but found '{line}'. Do so"):
        read_numbered(path, "Do so.")


def test_paths_stay_as_written_and_files_stay_below_the_folder(tmp_path):
    made = make_split(tmp_path, [("/a/abbey/1.jpg", 0), ("b/2.jpg", 1)])
    assert made.paths == ("/a/abbey/1.jpg", "b/2.jpg")
    assert made.files == (tmp_path / "a/abbey/1.jpg", tmp_path / "b/2.jpg")
    assert made.given is None
    assert made.truth_known
