"""The user's table in the user's order: folder, CSV, DataFrame or list of paths. Reading it opens no picture."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from srrs.data.classes import Classes, Names, find_classes, looks_like_codes, match_classes
from srrs.data.folders import SPLITS, find_pictures, is_picture
from srrs.data.images import WORKERS, inspect, quiet
from srrs.data.tables import LABEL_COLUMNS, PATH_COLUMNS, Table, apart, find_column, find_ids, read_table, text_of
from srrs.errors import DataError
from srrs.records import Ints

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Samples", "checked", "from_csv", "from_folder", "from_frame", "from_paths", "looks_like_codes", "read"]

NO_LABEL = "no label"
MISSING = "missing file"

Progress = Callable[[int, int], None]
"""Called with how many are done and how many there are."""


@dataclass(frozen=True, eq=False)
class Samples:
    """N photographs and the labels given to them."""

    ids: tuple[str, ...]
    """(N,) stable and unique: the path below the folder, the id column, or the path as the table writes it."""
    paths: tuple[Path, ...]
    """(N,)"""
    labels: Ints
    """(N,) index into `class_names`, -1 where none was given."""
    class_names: tuple[str, ...]
    """(C,) words, used in prompts and in everything that is written."""
    class_keys: tuple[str, ...]
    """(C,) classes as the user wrote them, a folder's name for instance."""
    issues: tuple[str, ...]
    """(N,) why a row cannot be used; '' where it can."""
    keys: tuple[str, ...]
    """(N,) sha256 of each file's bytes; '' before `checked` and where a file cannot be read."""
    notes: tuple[str, ...] = ()
    """What the reader left out or guessed, in sentences for the user."""

    def __post_init__(self) -> None:
        n = len(self.ids)
        if not n == len(self.paths) == len(self.labels) == len(self.issues) == len(self.keys):
            raise ValueError("ids, paths, labels, issues and keys must have one entry per row")
        if n and not -1 <= self.labels.min() <= self.labels.max() < max(len(self.class_names), 1):
            raise ValueError(f"labels must lie in -1..{len(self.class_names) - 1}")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def usable(self) -> Ints:
        """Rows without an issue."""
        return np.array([row for row, issue in enumerate(self.issues) if not issue], dtype=np.int64)

    @property
    def given(self) -> tuple[str, ...]:
        """(N,) the words of each given label; '' where none was given."""
        return tuple(self.class_names[label] if label >= 0 else "" for label in self.labels)

    def take(self, rows: Iterable[int]) -> "Samples":
        """These rows, in this order."""
        rows = [int(row) for row in rows]
        ids, paths, issues, keys = (
            tuple(column[row] for row in rows) for column in (self.ids, self.paths, self.issues, self.keys)
        )
        return replace(self, ids=ids, paths=paths, labels=self.labels[rows], issues=issues, keys=keys)  # type: ignore[arg-type]

    def canonical_order(self) -> Ints:
        """(N,) rows by content, given label and id: the same whatever order the user's rows are in."""
        given = self.given
        order = sorted(range(len(self)), key=lambda row: (self.keys[row], given[row], self.ids[row]))
        return np.array(order, dtype=np.int64)


def read(
    source: Any,
    labels: Sequence[Any] | None = None,
    *,
    names: Names | None = None,
    class_names: Sequence[str] | None = None,
    labelled: bool = True,
    **columns: Any,
) -> Samples:
    """Read a folder, a CSV or TSV file, a DataFrame, one photograph or a list of paths.

    Parameters
    ----------
    source: what to read.
    labels: labels of a list of paths.
    names: words for class keys that are codes.
    class_names: the classes and their order, where they are fixed beforehand (a fitted model's).
    labelled: False where no labels are needed; those of a folder or table are then left unread.
    columns: `images`, `path_column`, `label_column`, `id_column` of a table, as in `from_csv`.

    Raises
    ------
    DataError
        The source is missing, empty, of no known kind or lacks what was asked for.
    """
    options: dict[str, Any] = {"names": names, "class_names": class_names, "labelled": labelled}
    if hasattr(source, "columns"):
        return from_frame(source, **options, **columns)
    if not isinstance(source, str | os.PathLike):
        return from_paths(source, labels, names=names, class_names=class_names, labelled=labelled)
    path = Path(source)
    if path.is_dir():
        return from_folder(path, **options)
    if path.suffix.lower() in (".csv", ".tsv"):
        return from_csv(path, **options, **columns)
    if path.is_file() and is_picture(path.name):
        return from_paths([path], labels, names=names, class_names=class_names, labelled=labelled)
    found = "a file of another kind" if path.exists() else "nothing there"
    raise DataError(f"Expected a folder of photographs or a .csv or .tsv table at {path}, but found {found}.")


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
    images: str | Path | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    id_column: str | None = None,
    names: Names | None = None,
    class_names: Sequence[str] | None = None,
    labelled: bool = True,
) -> Samples:
    """Read a comma, semicolon or tab separated table whose first line names its columns.

    Parameters
    ----------
    images: folder that paths in the table start from; the table's own folder if not given.
    path_column, label_column: guessed from usual names (path, file, image… and label, class, tag…) if not given.
    id_column: a column named `id` is taken if its entries differ; else ids are the paths as written.

    Raises
    ------
    DataError
        The table is missing, malformed, without the columns, with repeated ids, or none of its files exists.
    """
    path = Path(path)
    return _from_table(
        read_table(path),
        path.parent if images is None else Path(images),
        (path_column, label_column, id_column),
        names=names,
        class_names=class_names,
        labelled=labelled,
        source=str(path),
    )


def from_frame(
    frame: "pd.DataFrame",
    images: str | Path | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    id_column: str | None = None,
    names: Names | None = None,
    class_names: Sequence[str] | None = None,
    labelled: bool = True,
) -> Samples:
    """Read a DataFrame; options and errors as in `from_csv`, paths start from the working directory."""
    return _from_table(
        {str(column): [text_of(value) for value in frame[column]] for column in frame.columns},
        Path(images or "."),
        (path_column, label_column, id_column),
        names=names,
        class_names=class_names,
        labelled=labelled,
        source="the DataFrame",
    )


def from_paths(
    paths: Iterable[str | Path],
    labels: Sequence[Any] | None = None,
    names: Names | None = None,
    class_names: Sequence[str] | None = None,
    labelled: bool | None = None,
) -> Samples:
    """Read a list of paths, for prediction or with labels: words, or positions in `class_names` where that is given.

    Raises
    ------
    DataError
        Paths and labels differ in number, labels are missing though `labelled`, or no file exists.
    """
    files = [Path(path) for path in paths]
    if labels is None and labelled:
        raise DataError(f"Expected a label for each of the {len(files)} paths, but got none: give labels as well.")
    if labels is not None and len(labels) != len(files):
        raise DataError(f"Expected one label per path, but got {len(files)} paths and {len(labels)} labels.")
    given = None
    if labels is not None and labelled is not False:
        given = [_by_position(label, class_names) for label in labels]
    ids = apart([path.as_posix() for path in files])
    return _samples(ids, files, given, names, class_names, (), "the list of paths")


def checked(samples: Samples, progress: Progress | None = None) -> Samples:
    """Open each file once, in threads, and fill in `keys` and `issues`."""
    issues, keys = list(samples.issues), list(samples.keys)
    with quiet(), ThreadPoolExecutor(WORKERS) as pool:
        for row, (key, issue) in enumerate(pool.map(inspect, samples.paths)):
            keys[row], issues[row] = key, issue or (NO_LABEL if issues[row] == NO_LABEL else "")
            if progress:
                progress(row + 1, len(samples))
    return replace(samples, issues=tuple(issues), keys=tuple(keys))


def _from_table(
    table: Table,
    base: Path,
    columns: tuple[str | None, str | None, str | None],
    *,
    names: Names | None,
    class_names: Sequence[str] | None,
    labelled: bool,
    source: str,
) -> Samples:
    path_column, label_column, id_column = columns
    texts = find_column(table, path_column, PATH_COLUMNS, "path", source)
    given = find_column(table, label_column, LABEL_COLUMNS, "label", source) if labelled else None
    if not base.is_dir():
        raise DataError(f"Expected a folder of photographs at {base}, but there is none.")
    ids = find_ids(table, id_column, texts, source)
    return _samples(ids, [_locate(base, text) for text in texts], given, names, class_names, (), source)


def _locate(base: Path, text: str) -> Path:
    path = base / text
    if "\\" in text and not path.exists():  # a table written on Windows
        return base / text.replace("\\", "/")
    return path


def _by_position(label: Any, class_names: Sequence[str] | None) -> str:
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
    paths: Sequence[Path],
    given: Sequence[str] | None,
    names: Names | None,
    class_names: Sequence[str] | None,
    notes: tuple[str, ...],
    source: str,
) -> Samples:
    """The one place where a table is made of what a reader found; `given` holds class keys, '' for none."""
    if not ids:
        raise DataError(f"Expected photographs in {source}, but found none. {' '.join(notes)}".rstrip())
    there = [path.is_file() for path in paths]
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
