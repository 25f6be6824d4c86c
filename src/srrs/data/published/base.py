"""The record of a published dataset, and functions that its readers share."""

import difflib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from srrs.data.tables import read_text
from srrs.errors import DataError
from srrs.records import Bools, Ints


@dataclass(frozen=True, eq=False)
class Split:
    """N images of a published split, in its order."""

    paths: tuple[str, ...]
    """(N,) paths as the split file writes them."""
    files: tuple[Path, ...]
    """(N,) the image files."""
    labels: Ints
    """(N,) class numbers of the true labels; of the given labels if the true labels are unknown (`truth_known`)."""
    given: Ints | None = None
    """(N,) labels from people or the web; None if the dataset has true labels only."""
    truth_known: bool = True
    """Whether the true labels are known. If not, `labels` are the given labels."""
    verified: Ints | None = None
    """(N,) 1 if people verified that the given label is right, 0 if it is wrong, -1 if nobody checked; else None."""

    def __post_init__(self) -> None:
        columns = (self.files, self.labels, self.given, self.verified)
        if any(column is not None and len(column) != len(self.paths) for column in columns):
            raise ValueError("paths, files, labels, given and verified must have one entry per row")

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, rows: Ints) -> "Split":
        """Return the images at some positions, in the given order."""
        return replace(
            self,
            paths=tuple(self.paths[row] for row in rows),
            files=tuple(self.files[row] for row in rows),
            labels=self.labels[rows],
            given=None if self.given is None else self.given[rows],
            verified=None if self.verified is None else self.verified[rows],
        )


@dataclass(frozen=True, eq=False)
class DataSet:
    """A published dataset of C classes."""

    name: str
    """Name of the dataset."""
    class_names: tuple[str, ...]
    """(C,) class names for prompts. The class names of CLIP for ImageNet contain a few pairs of equal names."""
    train: Split
    val: Split | None
    """Validation split; None if the dataset has none."""
    test: Split


def subset(dataset: DataSet, classes: int | str | Sequence[str]) -> DataSet:
    """Return the dataset with some of its classes, renumbered from 0 in the dataset's order.

    An image is kept if its label, and its given label if it has one, are among these classes.

    Parameters
    ----------
    dataset : the dataset.
    classes : a number k for the first k classes; `base` or `new` for the first or the second half, as in CoCoOp (with
        an odd number, the middle class is base); or class names.

    Raises
    ------
    DataError
        The dataset has fewer classes, a name is not one of its classes, or fewer than two classes are left.
    """
    numbers = _chosen(dataset, classes)
    if len(numbers) < 2:
        raise DataError(f"Expected at least two classes of {dataset.name}, but {classes!r} leaves {len(numbers)}.")
    renumbered = np.full(len(dataset.class_names), -1)
    renumbered[numbers] = np.arange(len(numbers))
    return replace(
        dataset,
        class_names=tuple(dataset.class_names[number] for number in numbers),
        train=_narrowed(dataset.train, renumbered),
        val=None if dataset.val is None else _narrowed(dataset.val, renumbered),
        test=_narrowed(dataset.test, renumbered),
    )


def _chosen(dataset: DataSet, classes: int | str | Sequence[str]) -> list[int]:
    """Return the numbers of the chosen classes. Raises DataError as `subset` does."""
    names = dataset.class_names
    half = -(-len(names) // 2)
    if classes == "base" or classes == "new":
        return list(range(half) if classes == "base" else range(half, len(names)))
    if isinstance(classes, int):
        if classes > len(names):
            raise DataError(f"Expected at most {len(names)} classes of {dataset.name}, but {classes} were asked for.")
        return list(range(classes))
    wanted = {classes} if isinstance(classes, str) else set(classes)
    for name in sorted(wanted - set(names)):
        near = difflib.get_close_matches(name, names, 1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise DataError(f"Expected classes of {dataset.name}, but it has no class '{name}'.{hint}")
    return [number for number, name in enumerate(names) if name in wanted]


def _narrowed(split: Split, renumbered: Ints) -> Split:
    """Return the images of the chosen classes. `renumbered` (C,) are their new numbers; -1 for other classes."""
    labels = renumbered[split.labels]
    given = None if split.given is None else renumbered[split.given]
    inside: Bools = labels >= 0 if given is None else (labels >= 0) & (given >= 0)
    return replace(split, labels=labels, given=given).take(np.flatnonzero(inside))


def locate(root: Path, folders: Iterable[str], marker: str, advice: str) -> Path:
    """Return the first of the folders below `root` that contains the file or folder `marker`.

    Raises
    ------
    DataError
        No folder contains `marker`. The message lists the expected paths and ends with `advice`.
    """
    looked = [root / folder / marker for folder in folders]
    for folder, path in zip(folders, looked, strict=True):
        if path.exists():
            return root / folder
    raise DataError(f"Expected {' or '.join(map(str, looked))}, but found nothing there. {advice}")


def read_lines(path: Path, advice: str, header: str = "") -> list[str]:
    """Return the lines of a text file without empty lines. A first line that starts with `header` is left out.

    Raises
    ------
    DataError
        The file is not UTF-8, or is missing. The message about a missing file ends with `advice`.
    """
    if not path.is_file():
        raise DataError(f"Expected the file {path}, but found nothing there. {advice}")
    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    return lines[1:] if header and lines and lines[0].startswith(header) else lines


def read_numbered(path: Path, advice: str, header: str = "") -> list[tuple[str, int]]:
    """Return the lines of a text file as pairs of a path and a number, which are separated by a space or tab.

    Raises
    ------
    DataError
        The errors of `read_lines`, or a line does not end with a number.
    """
    pairs = []
    for line in read_lines(path, advice, header):
        name, *number = line.rsplit(None, 1)
        if not number or not number[0].isdecimal():
            raise DataError(f"Expected a path and a number in each line of {path}, but found '{line}'. {advice}")
        pairs.append((name, int(number[0])))
    return pairs


def make_split(
    folder: Path, rows: Iterable[tuple[str, int]], *, given: bool = False, verified: Ints | None = None
) -> Split:
    """Return a split from pairs of a path below `folder` and a class number.

    `given` is True if the class numbers may be wrong.
    """
    paths, numbers = zip(*rows, strict=True) if (rows := list(rows)) else ((), ())
    labels = np.array(numbers, dtype=np.int64)
    files = tuple(folder / path.lstrip("/") for path in paths)
    return Split(paths, files, labels, labels if given else None, truth_known=not given, verified=verified)


def assemble(
    name: str, class_names: Sequence[str], train: Split, val: Split | None, test: Split, advice: str
) -> DataSet:
    """Return a dataset. Every split must have images, every label must have a name, and every file must exist.

    Raises
    ------
    DataError
        One of these conditions is not met. The message names the split, the image, or the number of missing files and
        the first three of them. It ends with `advice`.
    """
    splits = {"train": train, "val": val, "test": test}
    files: list[Path] = []
    for part, split in splits.items():
        if split is None:
            continue
        if not len(split):
            raise DataError(f"Expected images in the {part} split of {name}, but found none. {advice}")
        for labels in (split.labels, split.labels if split.given is None else split.given):
            if (wrong := np.flatnonzero((labels < 0) | (labels >= len(class_names)))).size:
                raise DataError(
                    f"Expected class numbers from 0 to {len(class_names) - 1} in the {part} split of {name}, but "
                    f"'{split.paths[wrong[0]]}' has {labels[wrong[0]]}. {advice}"
                )
        files += split.files
    check_files(files, name, advice)
    return DataSet(name, tuple(class_names), train, val, test)


def check_files(files: Sequence[Path], name: str, advice: str) -> None:
    """Check that all files exist. Each folder is listed once.

    Raises
    ------
    DataError
        Files are missing. The message gives their number, names the first three and ends with `advice`.
    """
    listed = {folder: _listed(folder) for folder in {file.parent for file in files}}
    # These files are checked one by one, because a file system may ignore case or the form of an accent in a name.
    missing = [file for file in files if file.name not in listed[file.parent] and not file.is_file()]
    if missing:
        more = " and so on" if len(missing) > 3 else ""
        raise DataError(
            f"Expected the {len(files)} images of {name}, but {len(missing)} are missing: "
            f"{', '.join(map(str, missing[:3]))}{more}. {advice}"
        )


def _listed(folder: Path) -> set[str]:
    """Return the names in a folder; an empty set if it cannot be read."""
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()
