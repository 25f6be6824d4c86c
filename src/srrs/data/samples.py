"""The user's table in the user's order: folder, table, DataFrame, data set or list. Reading it opens no picture."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from srrs.data.classes import Classes, Names, find_classes, looks_like_codes, match_classes
from srrs.data.folders import SPLITS, find_pictures, is_picture
from srrs.data.images import WORKERS, inspect, quiet
from srrs.data.in_memory import picture_of
from srrs.data.objects import merged
from srrs.data.pictures import Picture
from srrs.data.rows import MISSING, NO_LABEL, Samples
from srrs.data.tables import (
    LABEL_COLUMNS,
    PATH_COLUMNS,
    TABLES,
    Table,
    apart,
    find_column,
    find_ids,
    read_table,
    text_of,
)
from srrs.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "NO_LABEL", "Samples", "checked", "from_csv", "from_folder", "from_frame", "from_paths", "from_table",
    "label_key", "looks_like_codes", "read",
]  # fmt: skip

Roots = str | Path | Sequence[str | Path]
"""One folder, several, or a comma list of them."""
Progress = Callable[[int, int], None]
"""Called with how many are done and how many there are."""


def read(
    source: Any,
    labels: Sequence[Any] | None = None,
    *,
    names: Names | None = None,
    class_names: Sequence[str] | None = None,
    labelled: bool = True,
    pictured: bool = True,
    **columns: Any,
) -> Samples:
    """Read a folder, a table, a DataFrame, a Hugging Face data set, one photograph or a list of them.

    Parameters
    ----------
    source: what to read; entries of a list are paths, Pillow pictures or arrays.
    labels: labels of a list.
    names: words for class keys that are codes.
    class_names: the classes and their order, where they are fixed beforehand (a fitted model's).
    labelled: False where no labels are needed; those of a folder or table are then left unread.
    pictured: False where features are at hand, so that no picture needs to be there.
    columns: `images`, `path_column`, `label_column`, `id_column` of a table, as in `from_csv`.

    Raises
    ------
    DataError
        The source is missing, empty, of no known kind or lacks what was asked for.
    MissingExtraError
        It is a parquet file or a stored data set, and the package that reads it is not installed.
    """
    from srrs.data import hf

    options: dict[str, Any] = {"names": names, "class_names": class_names, "labelled": labelled}
    listed = options | {"labels": labels, "pictured": pictured}
    if hf.is_dataset(source):
        return from_table(hf.columns_of(source, **columns), source="the data set", pictured=pictured, **options)
    if hasattr(source, "columns"):
        return from_frame(source, **options, pictured=pictured, **columns)
    if isinstance(source, Mapping):
        raise DataError(f"Expected one table or data set, but found {', '.join(map(str, source))}: give one of them.")
    if hasattr(source, "getexif") or getattr(source, "ndim", 0) in (2, 3):  # one picture
        return from_paths([source], **listed)
    if not isinstance(source, str | os.PathLike):
        return from_paths(source, **listed)
    path = Path(source)
    if hf.is_saved(path):
        return from_table(hf.columns_of(hf.load(path), **columns), source=str(path), pictured=pictured, **options)
    if path.is_dir():
        return from_folder(path, **options)
    if path.suffix.lower() in TABLES:
        return from_csv(path, **options, pictured=pictured, **columns)
    if path.is_file() and is_picture(path.name):
        if labelled and labels is None:
            raise DataError(
                f"Expected a folder of photographs, one subfolder per class, or a table of them, but {path} is a "
                "single photograph. Give the folder that holds its class."
            )
        return from_paths([path], **listed)
    found = "a file of another kind" if path.exists() else "nothing there"
    raise DataError(
        f"Expected a folder of photographs, a stored data set or a table ({', '.join(TABLES)}) at {path}, but found "
        f"{found}."
    )


def from_folder(
    root: str | Path,
    names: Names | None = None,
    class_names: Sequence[str] | None = None,
    labelled: bool = True,
) -> Samples:
    """Read `root/<class>/**/*.jpg`; ids are paths below `root`. Options as in `read`.

    Raises
    ------
    DataError
        No photographs, fewer than two classes, or photographs that lie in no class folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"Expected a folder of photographs at {root}, but there is none.")
    found, notes = find_pictures(root)
    parts = [path.relative_to(root).parts for path in found]
    layout = f"Expected {root}/<class>/<photograph>, one folder per class"
    if labelled and found and all(len(part) == 1 for part in parts):
        raise DataError(f"{layout}, but its {len(found)} photographs lie in {root} itself. Sort them or give a CSV.")
    if labelled and (loose := sum(len(part) == 1 for part in parts)):
        notes += (f"{loose} photographs directly in {root} belong to no class folder and were left out.",)
    rows = [(path, part) for path, part in zip(found, parts, strict=True) if len(part) > 1 or not labelled]
    folders = {part[0].lower() for _, part in rows}
    if labelled and len(folders) > 1 and folders <= SPLITS:
        raise DataError(f"{layout}, but found the parts {', '.join(sorted(folders))}: give one, as {root}/train.")
    return _samples(
        ids=["/".join(part) for _, part in rows],
        paths=[path for path, _ in rows],
        given=[part[0] for _, part in rows] if labelled else None,
        names=names,
        class_names=class_names,
        notes=notes,
        source=str(root),
    )


def from_csv(
    path: str | Path,
    images: Roots | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    id_column: str | None = None,
    names: Names | None = None,
    class_names: Sequence[str] | None = None,
    labelled: bool = True,
    pictured: bool = True,
) -> Samples:
    """Read a parquet table, or a comma, semicolon or tab separated one whose first line names its columns.

    Parameters
    ----------
    images: folder that paths in the table start from, or several, of which the first that has the file counts; the
        table's own folder if not given.
    path_column, label_column: guessed from usual names (path, file, image… and label, class, tag…) if not given.
    id_column: rows with one id are photographs of one object. If not given, a column named `id` is taken if its
        entries differ; else ids are the paths as written.
    names, class_names, labelled, pictured: as in `read`.

    Raises
    ------
    DataError
        The table is missing, malformed or without the columns, none of its files exists, or rows of one id have
        different labels.
    """
    path = Path(path)
    return from_table(
        read_table(path),
        path.parent if images is None else images,
        path_column,
        label_column,
        id_column,
        names=names,
        class_names=class_names,
        labelled=labelled,
        pictured=pictured,
        source=str(path),
    )


def from_frame(frame: "pd.DataFrame", images: Roots | None = None, *columns: str | None, **options: Any) -> Samples:
    """Read a DataFrame of pandas or polars; options and errors as in `from_csv`.

    Paths start from the working directory. Their column may hold pictures or arrays instead.
    """
    if hasattr(frame, "collect"):
        raise DataError("Expected a DataFrame, but found a LazyFrame: call its collect() first.")
    table = {str(column): list(frame[column]) for column in frame.columns}
    return from_table(table, images or ".", *columns, source="the DataFrame", **options)


def from_table(
    table: Table,
    images: Roots = ".",
    path_column: str | None = None,
    label_column: str | None = None,
    id_column: str | None = None,
    *,
    names: Names | None = None,
    class_names: Sequence[str] | None = None,
    labelled: bool = True,
    pictured: bool = True,
    source: str = "the table",
) -> Samples:
    """Read columns by name; options and errors as in `from_csv`."""
    bases = _roots(images)
    if pictured and (lacking := [base for base in bases if not base.is_dir()]):
        raise DataError(f"Expected a folder of photographs at {lacking[0]}, but there is none.")
    try:
        entries = find_column(table, path_column, PATH_COLUMNS, "path", source)
    except DataError:
        if pictured or path_column:
            raise
        entries = [None] * max((len(column) for column in table.values()), default=0)
    pairs = [picture_of(entry, bases, f"row {row}") for row, entry in enumerate(entries, 1)]
    given = find_column(table, label_column, LABEL_COLUMNS, "label", source) if labelled else None
    if given is not None:
        given = [text_of(label) for label in given]
    texts = [text if isinstance(picture, Path) else str(at) for at, (picture, text) in enumerate(pairs)]
    ids = find_ids(table, id_column, texts, source)
    samples = _samples(ids, [picture for picture, _ in pairs], given, names, class_names, (), source, pictured)
    return merged(samples, source)


def from_paths(
    paths: Iterable[Any],
    labels: Sequence[Any] | None = None,
    names: Names | None = None,
    class_names: Sequence[str] | None = None,
    labelled: bool | None = None,
    pictured: bool = True,
) -> Samples:
    """Read a list of paths, Pillow pictures or arrays, for prediction or with labels.

    Labels are words, or positions in `class_names` where that is given. The id of a path is the path, that of another
    picture its place in the list, from 0.

    Raises
    ------
    DataError
        Entries and labels differ in number, labels are missing though `labelled`, or no file exists.
    """
    entries = list(paths)
    if labels is None and labelled:
        raise DataError(f"Expected a label for each of the {len(entries)} paths, but got none: give labels as well.")
    if labels is not None and len(labels) != len(entries):
        raise DataError(f"Expected one label per path, but got {len(entries)} paths and {len(labels)} labels.")
    given = None
    if labels is not None and labelled is not False:
        given = [label_key(label, class_names) for label in labels]
    pictures = [picture_of(entry, [Path()], f"picture {at}")[0] for at, entry in enumerate(entries)]
    ids = apart([picture.as_posix() if isinstance(picture, Path) else str(at) for at, picture in enumerate(pictures)])
    return _samples(ids, pictures, given, names, class_names, (), "the list of paths", pictured)


def checked(samples: Samples, progress: Progress | None = None) -> Samples:
    """Open each picture once, in threads, and fill in `keys` and `issues`.

    Of an object with several photographs those that open are kept; its row has an issue where none does.
    """
    shown = [[picture for _, picture in samples.pictures(row)] for row in range(len(samples))]
    total = sum(map(len, shown))
    found = []
    with quiet(), ThreadPoolExecutor(WORKERS) as pool:
        for done, outcome in enumerate(pool.map(inspect, (picture for pictures in shown for picture in pictures)), 1):
            found.append(outcome)
            if progress:
                progress(done, total)
    outcomes = iter(found)
    paths, keys, issues, others = [], [], [], []
    for row, pictures in enumerate(shown):
        here = [(key, picture, issue) for picture, (key, issue) in zip(pictures, outcomes, strict=False)]
        good = [entry for entry in here if not entry[2]] or here[:1]
        key, picture, issue = good[0]
        paths.append(picture)
        keys.append(key)
        issues.append(issue or (NO_LABEL if samples.issues[row] == NO_LABEL else ""))
        others.append(tuple((key, picture) for key, picture, _ in good[1:]))
    lost = total - len(samples) - sum(map(len, others))
    notes = (f"{lost} photographs of objects cannot be read: the others of each stand for it.",) if lost else ()
    return replace(
        samples, paths=tuple(paths), keys=tuple(keys), issues=tuple(issues), notes=samples.notes + notes,
        others=tuple(others) if samples.others else (),
    )  # fmt: skip


def _roots(images: Roots) -> list[Path]:
    if isinstance(images, str) and "," in images and not Path(images).is_dir():
        images = [part.strip() for part in images.split(",")]
    return [Path(images)] if isinstance(images, str | Path) else [Path(root) for root in images]


def label_key(label: Any, class_names: Sequence[str] | None) -> str:
    """A list's label as a class key: '' for -1, a class name for its position."""
    if not isinstance(label, int | np.integer) or isinstance(label, bool):
        return text_of(label)
    if label < 0 or class_names is None:
        return "" if label < 0 else str(label)
    if label >= len(class_names):
        raise DataError(f"Expected labels from 0 to {len(class_names) - 1}, one per class name, but got {label}.")
    return class_names[int(label)]


def _samples(
    ids: Sequence[str],
    paths: Sequence[Picture],
    given: Sequence[str] | None,
    names: Names | None,
    class_names: Sequence[str] | None,
    notes: tuple[str, ...],
    source: str,
    pictured: bool = True,
) -> Samples:
    """The one place where a table is made of what a reader found; `given` holds class keys, '' for none."""
    if not ids:
        raise DataError(f"Expected photographs in {source}, but found none. {' '.join(notes)}".rstrip())
    there = [not pictured or path.is_file() for path in paths]
    if not any(there):
        raise DataError(f"None of the {len(paths)} files of {source} exists: looked for {paths[0]} first.")
    present = {key for key in given or () if key}
    if class_names is not None:
        classes, index = match_classes(present, class_names, names, source)
    else:
        classes = Classes() if given is None else find_classes(present, names, source)
        index = {key: at for at, key in enumerate(classes.keys)}
    labels = [-1] * len(ids) if given is None else [index.get(key, -1) for key in given]
    return Samples(
        ids=tuple(ids),
        paths=tuple(paths),
        labels=np.array(labels, dtype=np.int64),
        class_names=classes.words,
        class_keys=classes.keys,
        issues=tuple(
            MISSING if not exists else NO_LABEL if given is not None and label < 0 else ""
            for exists, label in zip(there, labels, strict=True)
        ),
        keys=("",) * len(ids),
        notes=notes + classes.notes,
    )
