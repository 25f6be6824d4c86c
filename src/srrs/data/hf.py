"""Datasets of Hugging Face's `datasets`: an object in memory, or a folder that `save_to_disk` wrote."""

import importlib.util
from pathlib import Path
from typing import Any

from srrs.data.options import ReadOptions
from srrs.data.pictures import Stored
from srrs.data.tables import LABEL_COLUMNS, PATH_COLUMNS, Table, no_column
from srrs.errors import DataError, MissingExtraError
from srrs.io import read_bytes


def is_dataset(source: Any) -> bool:
    """Return whether a source is a Hugging Face dataset. A dictionary of splits is not one."""
    return hasattr(source, "features") and hasattr(source, "cast_column")


def is_saved(folder: Path) -> bool:
    """Return whether `save_to_disk` wrote this folder."""
    return (folder / "dataset_info.json").is_file() or (folder / "dataset_dict.json").is_file()


def load(folder: Path) -> Any:
    """Open a dataset that `save_to_disk` wrote.

    Raises
    ------
    DataError
        The folder contains several splits, or cannot be read.
    MissingExtraError
        The package `datasets` is not installed.
    """
    if (folder / "dataset_dict.json").is_file():
        splits = sorted(part.name for part in folder.iterdir() if (part / "dataset_info.json").is_file())
        raise DataError(
            f"Expected one dataset at {folder}, but found the splits {', '.join(splits)}: give one of them."
        )
    if importlib.util.find_spec("datasets") is None:
        raise MissingExtraError("datasets", "datasets", f"Reading the dataset at {folder}")
    import datasets

    try:
        return datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"Expected a dataset written by save_to_disk at {folder}, but cannot read it: {error}."
        ) from None


def renamed(options: ReadOptions) -> ReadOptions:
    """Return the options for the table that `columns_of` makes, which has its own names of columns."""
    return options.with_(path_column=None, label_column=None, id_column="id" if options.id_column else None)


def columns_of(dataset: Any, options: ReadOptions) -> Table:
    """Return the columns of images, labels and ids of a dataset as `path`, `label` and `id`, as far as they exist.

    Images are not read before they are opened. Labels of the type `ClassLabel` become class names, and the label -1
    becomes None.


    Raises
    ------
    DataError
        A requested or required column is missing, or the dataset is a stream, whose rows cannot be counted.
    """
    if not hasattr(dataset, "__len__"):
        raise DataError("Expected a dataset whose rows can be counted, but found a stream: load it without streaming.")
    kinds = {name: type(kind).__name__ for name, kind in dataset.features.items()}
    table: dict[str, list[Any]] = {}
    pictured, labeled = (next((n for n, k in kinds.items() if k == kind), None) for kind in ("Image", "ClassLabel"))
    for role, asked, guess, usual, required in (
        ("path", options.path_column, pictured, PATH_COLUMNS, options.pictured),
        ("label", options.label_column, labeled, LABEL_COLUMNS, options.labeled is not False),
        ("id", options.id_column, None, ("id",), False),
    ):
        name = asked or guess or _usual(kinds, usual)
        if name is None or name not in kinds:
            if asked or required:
                raise no_column(role, (asked,) if asked else usual, "the dataset", kinds, has_lines=False)
            continue
        table[role] = _pictures(dataset, name) if kinds[name] == "Image" else _values(dataset, name)
    return table


def _usual(kinds: dict[str, str], names: tuple[str, ...]) -> str | None:
    """Return the first column with one of the usual names; None if there is none."""
    return next((kind for name in names for kind in kinds if kind.lower() == name), None)


def _pictures(dataset: Any, name: str) -> list[Any]:
    """Return the entries of a column of images. An image is read from the dataset when it is opened."""
    import datasets

    raw = dataset.cast_column(name, datasets.Image(decode=False)).with_format(None).select_columns([name])

    def stored(row: int) -> Stored:
        def read() -> bytes:
            entry = raw[row][name]
            data: bytes | None = entry["bytes"] if entry else None
            return data if data is not None else read_bytes(entry["path"] if entry else "no image")

        return Stored(f"row {row} of the dataset", read)

    return [stored(row) for row in range(len(raw))]


def _values(dataset: Any, name: str) -> list[Any]:
    """Return the entries of a column, with class names for labels of the type `ClassLabel`."""
    kind = dataset.features[name]
    values = list(dataset.with_format(None)[name])
    if type(kind).__name__ != "ClassLabel":
        return values
    return [kind.names[value] if value is not None and value >= 0 else None for value in values]
