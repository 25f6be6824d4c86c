"""Readers of each kind of source: folder, table, DataFrame and list. They open no image.

A function with the argument `options` does the same as the function with keyword arguments, whose name begins with
`from_`.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from srrs.data.classes import Classes, find_classes, match_classes
from srrs.data.folders import SPLITS, find_pictures
from srrs.data.in_memory import picture_of
from srrs.data.objects import merged
from srrs.data.options import ReadKeywords, ReadOptions, Roots
from srrs.data.pictures import Picture
from srrs.data.rows import MISSING, NO_LABEL, Samples
from srrs.data.spelling import unified
from srrs.data.tables import (
    LABEL_COLUMNS,
    PATH_COLUMNS,
    Table,
    apart,
    exists,
    find_column,
    find_ids,
    read_table,
    text_of,
)
from srrs.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_DATE = re.compile(r"(19|20)\d\d([-_. ]?\d\d?){0,2}|(\d\d?[-_. ]){2}(19|20)\d\d")
"""Form of folder names that are dates, such as 2024-01-05 and 05.01.2024."""


def from_folder(root: str | Path, **keywords: Unpack[ReadKeywords]) -> Samples:
    """Read images in class folders, `root/<class>/**/*.jpg`. The ids of the images are their paths below `root`.

    The keywords are the fields of `ReadOptions`.

    Raises
    ------
    DataError
        There are no images, fewer than two classes, or only images outside class folders; or the class folders are one
        level deeper.
    """
    return folder_samples(Path(root), ReadOptions.of("from_folder", **keywords))


def folder_samples(root: Path, options: ReadOptions) -> Samples:
    """Read a folder as `from_folder` does, with the keywords as a record."""
    if not root.is_dir():
        raise DataError(f"Expected a folder of images at {root}, but there is none.")
    found, notes = find_pictures(root)
    return tree_samples(str(root), [path.relative_to(root).parts for path in found], found, notes, options)


def tree_samples(
    root: str,
    parts: Sequence[tuple[str, ...]],
    found: Sequence[Picture],
    notes: tuple[str, ...],
    options: ReadOptions,
) -> Samples:
    """Return the samples of a tree of class folders. `found` are its images, and `parts` their paths below `root`."""
    labeled = options.labeled is not False
    layout = f"Expected {root}/<class>/<image>, one folder per class"
    if labeled and found and all(len(part) == 1 for part in parts):
        raise DataError(f"{layout}, but its {len(found)} images lie in {root} itself. Sort them or give a CSV.")
    if labeled and (loose := sum(len(part) == 1 for part in parts)):
        notes += (f"Images directly in {root}, outside the class folders, were left out: {loose}.",)
    rows = [(path, part) for path, part in zip(found, parts, strict=True) if len(part) > 1 or not labeled]
    if labeled:
        notes += _checked_layout(root, [part for _, part in rows], layout)
    return samples_of(
        ids=["/".join(part) for _, part in rows],
        paths=[path for path, _ in rows],
        given=[part[0] for _, part in rows] if labeled else None,
        options=options,
        notes=notes,
        source=root,
    )


def _checked_layout(root: str, parts: Sequence[tuple[str, ...]], layout: str) -> tuple[str, ...]:
    """Return notes on the layout of a folder. Raises DataError if the classes are one level deeper.

    `parts` are the paths of the images below `root`, and `layout` the beginning of the message. If the classes are only
    likely to be one level deeper, a note states this.
    """
    tops = {part[0] for part in parts}
    if len(tops) > 1 and {top.lower() for top in tops} <= SPLITS:
        names = ", ".join(sorted(top.lower() for top in tops))
        raise DataError(f"{layout}, but found the parts {names}: give one, as {root}/train.")
    inner = {(part[0], part[1]) for part in parts if len(part) > 2}
    deep = all(len(part) > 2 for part in parts)
    if len(tops) == 1 and deep and len(inner) > 1:
        (top,) = tops
        raise DataError(f"{layout}, but found only the folder {top}, with {len(inner)} in it: give {root}/{top}.")
    shared = sorted(name for name, times in Counter(name for _, name in inner).items() if times > 1)
    first, dates = ", ".join(sorted(tops)[:3]), all(_DATE.fullmatch(top) for top in tops)
    if dates and tops and not inner:
        return (f"The class folders below {root} are dates ({first}). If the classes are not dates, give a table.",)
    if not (len(tops) > 1 and deep and (shared or dates)):
        return ()
    below = f"the folders {', '.join(shared[:5])} stand in several of them"
    if dates:
        below = below if shared else "all images are in folders below them"
        raise DataError(
            f"{layout}, but the first folders are dates ({first}) and {below}: the classes seem to lie one level "
            f"deeper. Give one of the dates, as {root}/{min(tops)}, or a table of paths and labels."
        )
    if len(shared) == len({name for _, name in inner}) > 1:
        return (
            f"The classes are the first folders below {root} ({first}), but {below}: if those are the classes, give a "
            "deeper folder or a table of paths and labels.",
        )
    return ()


def from_csv(path: str | Path, **keywords: Unpack[ReadKeywords]) -> Samples:
    """Read a parquet table, or a text table with commas, semicolons or tabs whose first line names the columns.

    The keywords are the fields of `ReadOptions`.

    Raises
    ------
    DataError
        The table is missing or malformed, a column is missing, none of the image files exists, or rows with the same id
        have different labels.
    """
    return csv_samples(Path(path), ReadOptions.of("from_csv", **keywords))


def csv_samples(path: Path, options: ReadOptions) -> Samples:
    """Read a table as `from_csv` does, with the keywords as a record."""
    images = path.parent if options.images is None else options.images
    return table_samples(read_table(path), options.with_(images=images), str(path), stranger=True)


def from_frame(frame: "pd.DataFrame", **keywords: Unpack[ReadKeywords]) -> Samples:
    """Read a DataFrame of pandas or polars. Keywords and errors are those of `from_csv`.

    Paths are relative to the working directory. The column of paths may also contain Pillow images or arrays.
    """
    return frame_samples(frame, ReadOptions.of("from_frame", **keywords))


def frame_samples(frame: Any, options: ReadOptions) -> Samples:
    """Read a DataFrame as `from_frame` does, with the keywords as a record."""
    if hasattr(frame, "collect"):
        raise DataError("Expected a DataFrame, but found a LazyFrame: call its collect() first.")
    names = [str(column) for column in frame.columns]
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise DataError(f"Expected a name of its own for each column of the DataFrame, but '{twice[0]}' stands twice.")
    table = {name: list(frame[column]) for name, column in zip(names, frame.columns, strict=True)}
    return table_samples(table, options, "the DataFrame")


def from_table(table: Table, images: Roots = ".", *, source: str = "the table", **keywords: Any) -> Samples:
    """Read a mapping from column names to columns. Keywords and errors are those of `from_csv`."""
    return table_samples(table, ReadOptions.of("from_table", images=images, **keywords), source)


def table_samples(table: Table, options: ReadOptions, source: str, stranger: bool = False) -> Samples:
    """Read columns as `from_table` does, with the keywords as a record.

    With `stranger`, all paths must be inside the folders of images, because someone else may have written the table.
    """
    bases = _roots(options.images or ".")
    if options.pictured and (lacking := [base for base in bases if not base.is_dir()]):
        raise DataError(f"Expected a folder of images at {lacking[0]}, but there is none.")
    try:
        entries = find_column(table, options.path_column, PATH_COLUMNS, "path", source)
    except DataError:
        if options.pictured or options.path_column:
            raise
        entries = [None] * max((len(column) for column in table.values()), default=0)
    pairs = [picture_of(entry, bases, f"row {row}") for row, entry in enumerate(entries, 1)]
    if stranger and options.pictured:
        _check_contained([picture for picture, _ in pairs], bases, source)
    given = None
    if options.labeled is not False:
        given = [text_of(label) for label in find_column(table, options.label_column, LABEL_COLUMNS, "label", source)]
    texts = [text if isinstance(picture, Path) else str(at) for at, (picture, text) in enumerate(pairs)]
    ids = find_ids(table, options.id_column, texts, source)
    return merged(samples_of(ids, [picture for picture, _ in pairs], given, options, (), source), source)


def from_paths(paths: Iterable[Any], labels: Sequence[Any] | None = None, **keywords: Unpack[ReadKeywords]) -> Samples:
    """Read a list of paths, Pillow images or arrays, with or without labels.

    The keywords are the fields of `ReadOptions`. Labels are class names or, if `class_names` is given, positions in it.
    The id of a path is the path. The id of another image is its position in the list, starting at 0.

    Raises
    ------
    DataError
        The number of labels differs from the number of entries, labels are missing although `labeled` is True, or no
        file exists.
    """
    asked: ReadKeywords = {"labeled": None}
    asked.update(keywords)
    return list_samples(paths, labels, ReadOptions.of("from_paths", **asked))


def list_samples(paths: Iterable[Any], labels: Sequence[Any] | None, options: ReadOptions) -> Samples:
    """Read a list as `from_paths` does, with the keywords as a record."""
    entries = list(paths)
    if labels is None and options.labeled:
        raise DataError(f"Expected a label for each of the {len(entries)} paths, but got none: give labels as well.")
    if labels is not None and len(labels) != len(entries):
        raise DataError(f"Expected one label per path, but got {len(entries)} paths and {len(labels)} labels.")
    given = None
    if labels is not None and options.labeled is not False:
        given = [label_key(label, options.class_names) for label in labels]
    pictures = [picture_of(entry, [Path()], f"image {at}")[0] for at, entry in enumerate(entries)]
    ids = apart([picture.as_posix() if isinstance(picture, Path) else str(at) for at, picture in enumerate(pictures)])
    return samples_of(ids, pictures, given, options, (), "the list of paths")


def _check_contained(pictures: Sequence[Picture], bases: Sequence[Path], source: str) -> None:
    """Raise DataError if a path leads outside the folders of images."""
    below = tuple(os.path.join(os.path.abspath(base), "") for base in bases)
    for row, picture in enumerate(pictures, 1):
        if isinstance(picture, Path) and not os.path.abspath(picture).startswith(below):
            raise DataError(
                f"Expected paths below {bases[0]} in {source}, but row {row} names {picture}. Give the folder of "
                "all images with --images FOLDER (images=), or --images / to allow any path."
            )


def _roots(images: Roots) -> list[Path]:
    """Return the folders that the option `images` names."""
    if isinstance(images, str) and "," in images and not Path(images).is_dir():
        images = [part.strip() for part in images.split(",")]
    return [Path(images)] if isinstance(images, str | Path) else [Path(root) for root in images]


def label_key(label: Any, class_names: Sequence[str] | None) -> str:
    """Return the class key of a label in a list.

    With `class_names`, a position becomes a class name. -1 becomes ''. Raises DataError for a position that is too
    large.
    """
    if not isinstance(label, int | np.integer) or isinstance(label, bool):
        return text_of(label)
    if label < 0 or class_names is None:
        return "" if label < 0 else str(label)
    if label >= len(class_names):
        raise DataError(f"Expected labels from 0 to {len(class_names) - 1}, one per class name, but got {label}.")
    return class_names[int(label)]


def samples_of(
    ids: Sequence[str],
    paths: Sequence[Picture],
    given: Sequence[str] | None,
    options: ReadOptions,
    notes: tuple[str, ...],
    source: str,
) -> Samples:
    """Return the samples of a reader, with labels as class numbers.

    `given` contains class keys, and '' for no label; None if there are no labels. `notes` are sentences for the user,
    and `source` is the name of the source in messages.

    Raises
    ------
    DataError
        There are no images, none of the files exists, or the classes are not valid (see `find_classes`).
    """
    if not ids:
        raise DataError(f"Expected images in {source}, but found none. {' '.join(notes)}".rstrip())
    there = [not options.pictured or exists(path) for path in paths]
    if not any(there):
        raise DataError(f"None of the {len(paths)} files of {source} exists: looked for {paths[0]} first.")
    if given is not None:
        given, merges = unified(given, options.merge_case)
        notes += merges
    present = {key for key in given or () if key}
    if options.class_names is not None:
        classes, index = match_classes(present, options.class_names, options.names, source)
    else:
        classes = Classes() if given is None else find_classes(present, options.names, source)
        index = {key: at for at, key in enumerate(classes.keys)}
    labels = [-1] * len(ids) if given is None else [index.get(key, -1) for key in given]
    return Samples(
        ids=tuple(ids),
        paths=tuple(paths),
        labels=np.array(labels, dtype=np.int64),
        class_names=classes.words,
        class_keys=classes.keys,
        own_names=classes.own,
        issues=tuple(
            MISSING if not found else NO_LABEL if given is not None and label < 0 else ""
            for found, label in zip(there, labels, strict=True)
        ),
        keys=("",) * len(ids),
        notes=notes + classes.notes,
    )
