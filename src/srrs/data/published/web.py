"""Datasets with labels from the web or from annotators, in the folder structure of their archives.

Most of the true training labels are unknown. In this case `labels` and `given` are equal, and `truth_known` is False.
Test labels are true.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from srrs.data.classes import words_of
from srrs.data.folders import is_picture
from srrs.data.published.base import DataSet, Split, assemble, locate, make_split, read_lines, read_numbered
from srrs.errors import DataError

ANIMALS = ("cat", "lynx", "wolf", "coyote", "cheetah", "jaguar", "chimpanzee", "orangutan", "hamster", "guinea pig")
"""Class names of ANIMAL-10N."""
_MINI = 50
"""Number of classes of mini-WebVision: the first classes of WebVision."""


def food101n(root: Path) -> DataSet:
    """Read Food-101N, its verification labels, and Food-101's own test split (not CoOp's).

    `train.verified` has, for about 52,868 images, whether their label is right. The true class of a wrong label is
    unknown.

    Raises
    ------
    DataError
        A list or an image is missing, or a list names a class that is not in `meta/classes.txt`.
    """
    advice = (
        "Download Food-101N from https://kuanghuei.github.io/Food-101N/ and food-101.tar.gz from "
        "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/, and unpack both, so that you have "
        f"{root / 'Food-101N_release/meta/imagelist.tsv'} and {root / 'food-101/meta/test.txt'}."
    )
    folders = ("Food-101N_release", "Food-101N", "food-101n", "food101n")
    web = locate(root, folders, "meta/imagelist.tsv", advice)
    tested = locate(root, ("food-101", "food101"), "meta/test.txt", advice)
    number = {key: at for at, key in enumerate(read_lines(web / "meta/classes.txt", advice, "class_name"))}
    train_list, test_list = web / "meta/imagelist.tsv", tested / "meta/test.txt"
    paths = read_lines(train_list, advice, "class_name")
    train = _by_first_folder(train_list, paths, number)
    test = _by_first_folder(test_list, [f"{line}.jpg" for line in read_lines(test_list, advice)], number)
    verdicts = dict(read_numbered(web / "meta/verified_train.tsv", advice, "class_name"))
    verified = np.array([verdicts.get(path, -1) for path in paths], dtype=np.int64)
    return assemble(
        "food101n",
        [words_of(key) for key in number],
        make_split(web / "images", train, given=True, verified=verified),
        None,
        make_split(tested / "images", test),
        advice,
    )


def clothing1m(root: Path, both: bool = False) -> DataSet:
    """Read Clothing1M: a million training images with labels from the web, and true labels for validation and test.

    With `both`, the training images are those that have a true label and a label from the web, so the truth is known.

    Raises
    ------
    DataError
        A list or an image is missing, or a list names an image that has no label.
    """
    advice = (
        "Ask for Clothing1M at https://github.com/Cysu/noisy_label, and unpack its images and its lists into "
        f"{root / 'clothing1m'}, so that you have {root / 'clothing1m/noisy_label_kv.txt'} and "
        f"{root / 'clothing1m/images/0'} to 9."
    )
    names = ("clothing1m", "Clothing1M", "clothing1M")
    lists = locate(root, (*names, *(f"{name}/annotations" for name in names)), "noisy_label_kv.txt", advice)
    folder = lists.parent if lists.name == "annotations" else lists
    web = dict(read_numbered(lists / "noisy_label_kv.txt", advice))
    true = dict(read_numbered(lists / "clean_label_kv.txt", advice))

    def read(part: str, labels: Mapping[str, int], given: bool = False) -> Split:
        path = lists / f"{part}_key_list.txt"
        keys = read_lines(path, advice)
        if unknown := [key for key in keys if key not in labels]:
            raise DataError(f"Expected a label of every image of {path}, but '{unknown[0]}' has none. {advice}")
        return make_split(folder, [(key, labels[key]) for key in keys], given=given)

    if both:
        train = read("clean_train", true)
        train = train.take(np.array([row for row, key in enumerate(train.paths) if key in web], dtype=np.int64))
        train = replace(train, given=np.array([web[key] for key in train.paths], dtype=np.int64))
    else:
        train = read("noisy_train", web, given=True)
    class_names = [words_of(name) for name in read_lines(lists / "category_names_eng.txt", advice)]
    name = "clothing1m-both" if both else "clothing1m"
    return assemble(name, class_names, train, read("clean_val", true), read("clean_test", true), advice)


def mini_webvision(root: Path) -> DataSet:
    """Read the Google part of the first 50 classes of WebVision 1.0. The validation images are the test split.

    The name of a class is the first name of its WordNet synset.

    Raises
    ------
    DataError
        A list or an image is missing.
    """
    advice = (
        "Download from https://data.vision.ee.ethz.ch/cvl/webvision/dataset2017.html the resized Google images, the "
        f"resized validation images and the labels, and unpack them into {root / 'webvision'}, so that you have "
        f"{root / 'webvision/google'}, {root / 'webvision/val_images_256'} and {root / 'webvision/info'}."
    )
    folders = ("webvision", "WebVision", "webvision1.0", "mini-webvision")
    folder = locate(root, folders, "info/train_filelist_google.txt", advice)
    synsets = read_lines(folder / "info/synsets.txt", advice)[:_MINI]
    names = [words_of(line.partition(" ")[2].partition(",")[0]) for line in synsets]
    full = not (folder / "val_images_256").is_dir() and (folder / "val_images").is_dir()
    train, test = (
        [row for row in read_numbered(folder / f"info/{name}.txt", advice) if row[1] < _MINI]
        for name in ("train_filelist_google", "val_filelist")
    )
    return assemble(
        "mini-webvision",
        names,
        make_split(folder, train, given=True),
        None,
        make_split(folder / ("val_images" if full else "val_images_256"), test),
        advice,
    )


def animal10n(root: Path) -> DataSet:
    """Read ANIMAL-10N: ten animals that people confuse. The label of an image is the number before `_` in its name.

    Raises
    ------
    DataError
        A folder is missing, or an image's name does not start with the number of its class.
    """
    advice = (
        "Ask for ANIMAL-10N (raw images) at https://dm.kaist.ac.kr/datasets/animal-10n, and unpack it into "
        f"{root / 'animal10n'}, so that you have {root / 'animal10n/training'} and {root / 'animal10n/testing'}."
    )
    folders = ("animal10n", "animal-10n", "Animal-10N", "ANIMAL-10N", "animal10n/raw_image", "raw_image")
    folder = locate(root, folders, "training", advice)
    locate(folder, (".",), "testing", advice)
    train = make_split(folder / "training", _by_prefix(folder / "training"), given=True)
    test = make_split(folder / "testing", _by_prefix(folder / "testing"))
    return assemble("animal10n", ANIMALS, train, None, test, advice)


def _by_first_folder(source: Path, paths: list[str], number: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return pairs of a path `<class>/<image>` and the number of its class. Raises DataError for an unknown class."""
    rows = [(path, number.get(path.partition("/")[0], -1)) for path in paths]
    if unknown := [path for path, label in rows if label < 0]:
        raise DataError(f"Expected <class>/<image> in each line of {source}, but found '{unknown[0]}'.")
    return rows


def _by_prefix(folder: Path) -> list[tuple[str, int]]:
    """Return pairs of a file name and the class number at its beginning. Raises DataError for other names."""
    names = sorted(name for name in os.listdir(folder) if is_picture(name) and not name.startswith("."))
    if wrong := [name for name in names if not re.match(r"\d_", name)]:
        raise DataError(f"Expected images called <class number>_<id>.jpg in {folder}, but found {wrong[0]}.")
    return [(name, int(name[0])) for name in names]
