"""The datasets of CoOp and of later work, in the folders and with the fixed splits of CoOp.

Class names come from the split files, with spaces instead of underscores. So they are those of CoOp: EuroSAT has its
longer names, Pets has names in lower case, and the names of Cars begin with the year. FGVC Aircraft has its own splits.
ImageNet has no split file, so its validation part is the test split, and there is no `val`.
"""

import json
import os
from functools import partial
from pathlib import Path
from typing import NamedTuple

from srrs.data.classes import words_of
from srrs.data.folders import is_picture
from srrs.data.published.base import DataSet, Split, assemble, locate, make_split, read_lines
from srrs.data.tables import read_text
from srrs.errors import DataError

Row = tuple[str, int, str]
"""Path, class number, class name."""

_LINKS = "All links: https://github.com/KaiyangZhou/CoOp/blob/main/DATASETS.md."


class Layout(NamedTuple):
    """The location of a dataset with a split file below the root, and where to download the dataset."""

    folders: tuple[str, ...]
    """Possible folders of the dataset. The first is that of CoOp."""
    split: str
    """Name of the split file."""
    images: str
    """The folder to which paths are relative, in the folder of the split file; '' if it is the folder of the split
    file."""
    key: str
    """Key of the split file in Google Drive."""
    source: str
    """The files to download, and their address."""

    def advice(self, root: Path) -> str:
        """Return a text that explains how to get missing files."""
        folder = root / self.folders[0]
        return (
            f"Download {self.source}, and {self.split} from https://drive.google.com/file/d/{self.key}/view, "
            f"so that you have {folder / self.images if self.images else folder} and {folder / self.split}. {_LINKS}"
        )


LAYOUTS = {
    "caltech101": Layout(
        ("caltech-101", "caltech101"),
        "split_zhou_Caltech101.json",
        "101_ObjectCategories",
        "1hyarUivQE36mY6jSomru6Fjd-JzwcCzN",
        "and unpack 101_ObjectCategories.tar.gz from https://data.caltech.edu/records/mzrjq-6wc02",
    ),
    "dtd": Layout(
        ("dtd",),
        "split_zhou_DescribableTextures.json",
        "images",
        "1u3_QfB467jqHgNXC00UIzbLZRQCg2S7x",
        "and unpack https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz",
    ),
    "eurosat": Layout(
        ("eurosat",),
        "split_zhou_EuroSAT.json",
        "2750",
        "1Ip7yaCWFi0eaOFUGga0lUdVi_DDQth1o",
        "and unpack EuroSAT_RGB.zip from https://zenodo.org/records/7711810 (rename its folder to 2750)",
    ),
    "food101": Layout(
        ("food-101",),
        "split_zhou_Food101.json",
        "images",
        "1QK0tGi096I0Ba6kggatX1ee6dJFIcEJl",
        "and unpack food-101.tar.gz from https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
    ),
    "flowers102": Layout(
        ("oxford_flowers",),
        "split_zhou_OxfordFlowers.json",
        "jpg",
        "1Pp0sRXzZFZq15zVOzKjKBu4A9i01nozT",
        "and unpack https://www.robots.ox.ac.uk/~vgg/data/flowers/102/102flowers.tgz",
    ),
    "oxford_pets": Layout(
        ("oxford_pets",),
        "split_zhou_OxfordPets.json",
        "images",
        "1501r8Ber4nNKvmlFVQZ8SeUHTcdTTEqs",
        "and unpack https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz",
    ),
    "stanford_cars": Layout(
        ("stanford_cars",),
        "split_zhou_StanfordCars.json",
        "",
        "1ObCFbaAgVu0I-k_Au-gIUcefirdAuizT",
        "and unpack cars_train and cars_test (their first address, https://ai.stanford.edu/~jkrause/cars/, no longer "
        "answers; see https://github.com/pytorch/vision/issues/7545)",
    ),
    "sun397": Layout(
        ("sun397",),
        "split_zhou_SUN397.json",
        "SUN397",
        "1y2RD81BYuiyvebdN-JymPfyWYcd8_MUq",
        "and unpack http://vision.princeton.edu/projects/2010/SUN/SUN397.tar.gz",
    ),
    "ucf101": Layout(
        ("ucf101",),
        "split_zhou_UCF101.json",
        "UCF-101-midframes",
        "1I0S0q91hJfsV9Gf4xDIjgDq4AqBNJb1y",
        "and unpack UCF-101-midframes.zip from https://drive.google.com/file/d/10Jqome3vtUA2keJkNanAiFpgbyC9Hc2O/view",
    ),
}
"""The datasets that are read with a split file."""


def by_split_file(name: str, root: Path) -> DataSet:
    """Read one of the datasets in `LAYOUTS` with its split file.

    Raises
    ------
    DataError
        The split file or an image is missing, or the split file does not have the form of CoOp's.
    """
    layout = LAYOUTS[name]
    advice = layout.advice(root)
    folder = locate(root, layout.folders, layout.split, advice)
    path = folder / layout.split
    parts = _read_split(path, advice)
    class_names = _class_names([row for rows in parts.values() for row in rows], path)
    train, val, test = (
        make_split(folder / layout.images, [(file, number) for file, number, _ in parts[part]])
        for part in ("train", "val", "test")
    )
    return assemble(name, class_names, train, val, test, advice)


def fgvc_aircraft(root: Path) -> DataSet:
    """Read the 100 variants of FGVC Aircraft from the lists of the dataset.

    Raises
    ------
    DataError
        A list or an image is missing, or a list names a variant that is not in `variants.txt`.
    """
    advice = (
        "Download and unpack https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz, "
        f"and move its folder data to {root / 'fgvc_aircraft'}."
    )
    folder = locate(root, ("fgvc_aircraft", "fgvc-aircraft-2013b/data"), "variants.txt", advice)
    variants = read_lines(folder / "variants.txt", advice)
    number = {name: at for at, name in enumerate(variants)}

    def read(part: str) -> Split:
        path = folder / f"images_variant_{part}.txt"
        rows = [line.partition(" ") for line in read_lines(path, advice)]
        for image, _, variant in rows:
            if variant not in number:
                raise DataError(f"Expected variants of variants.txt in {path}, but {image} is a '{variant}'. {advice}")
        return make_split(folder / "images", [(f"{image}.jpg", number[variant]) for image, _, variant in rows])

    names = [words_of(name) for name in variants]
    return assemble("fgvc_aircraft", names, read("train"), read("val"), read("test"), advice)


def imagenet(root: Path) -> DataSet:
    """Read ImageNet from its folders.

    The classes are the sorted folders of the training part, and `classnames.txt` gives their names.

    Raises
    ------
    DataError
        A folder or `classnames.txt` is missing, or `classnames.txt` has no name for a folder.
    """
    advice = (
        "Download ImageNet (ILSVRC 2012) from https://image-net.org and classnames.txt from "
        "https://drive.google.com/file/d/1-61f_ol79pViBFDG_IDlUQSwoLcn2XXF/view, so that you have "
        f"{root / 'imagenet/classnames.txt'} and, with one folder n… per class, {root / 'imagenet/images/train'} and "
        f"{root / 'imagenet/images/val'}. {_LINKS}"
    )
    folder = locate(root, ("imagenet",), "classnames.txt", advice)
    lines = read_lines(folder / "classnames.txt", advice)
    words = {code: words_of(name) for code, _, name in (line.partition(" ") for line in lines)}
    images = folder / "images"
    codes = _folders(images / "train", advice)
    if unnamed := [code for code in codes if code not in words]:
        raise DataError(f"Expected a name of the class {unnamed[0]} in {folder / 'classnames.txt'}, but found none.")
    if lacking := sorted(set(codes) - set(_folders(images / "val", advice))):
        raise DataError(
            f"Expected the {len(codes)} class folders of train in {images / 'val'} as well, but {len(lacking)} are "
            f"missing: {', '.join(lacking[:3])}. Sort the validation images into class folders."
        )
    train, test = (
        make_split(images, _pictures(images, [f"{part}/{code}" for code in codes])) for part in ("train", "val")
    )
    return assemble("imagenet", [words[code] for code in codes], train, None, test, advice)


COOP = {name: partial(by_split_file, name) for name in LAYOUTS} | {"fgvc_aircraft": fgvc_aircraft, "imagenet": imagenet}
"""Readers of the datasets of CoOp by name."""


def _read_split(path: Path, advice: str) -> dict[str, list[Row]]:
    """Return the rows of each part of a split file. Raises DataError if the file has another form."""
    wanted = f"Expected train, val and test, each a list of [path, class number, class name], in {path}"
    try:
        parts = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{wanted}, but it is no JSON: {error}. {advice}") from None
    if not isinstance(parts, dict) or not all(isinstance(parts.get(part), list) for part in ("train", "val", "test")):
        raise DataError(f"{wanted}, but found something else. {advice}")
    for part in ("train", "val", "test"):
        for at, row in enumerate(parts[part], 1):
            if not isinstance(row, list) or [type(entry) for entry in row] != [str, int, str]:
                raise DataError(f"{wanted}, but row {at} of {part} is {json.dumps(row)}. {advice}")
    return parts


def _class_names(rows: list[Row], path: Path) -> list[str]:
    """Return the class names in the order of the class numbers. Raises DataError if names or numbers do not fit."""
    names: dict[int, str] = {}
    for _, number, name in rows:
        if names.setdefault(number, name) != name:
            raise DataError(f"Expected one name per class in {path}, but {number} is '{names[number]}' and '{name}'.")
    if sorted(names) != list(range(len(names))):
        raise DataError(f"Expected class numbers 0, 1, 2… in {path}, but found {min(names)} to {max(names)} with gaps.")
    return [words_of(names[number]) for number in range(len(names))]


def _folders(folder: Path, advice: str) -> list[str]:
    """Return the sorted names of the folders in a folder. Raises DataError if there is no such folder."""
    if not folder.is_dir():
        raise DataError(f"Expected the folder {folder}, but found nothing there. {advice}")
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _pictures(images: Path, folders: list[str]) -> list[tuple[str, int]]:
    """Return the paths of the images in the folders, relative to `images`, and the position of each image's folder."""
    return [
        (f"{folder}/{name}", number)
        for number, folder in enumerate(folders)
        for name in sorted(os.listdir(images / folder))
        if is_picture(name)
    ]
