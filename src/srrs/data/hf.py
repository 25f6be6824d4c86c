"""Data sets of Hugging Face's `datasets`: an object in memory, or a folder that `save_to_disk` wrote."""

import importlib.util
from pathlib import Path
from typing import Any

from srrs.data.pictures import Stored
from srrs.data.tables import LABEL_COLUMNS, PATH_COLUMNS, Table
from srrs.errors import DataError, MissingExtraError


def is_dataset(source: Any) -> bool:
    """Whether this is a data set of theirs; a dictionary of splits is not one."""
    return hasattr(source, "features") and hasattr(source, "cast_column")


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` wrote this folder."""
    return (folder / "dataset_info.json").is_file() or (folder / "dataset_dict.json").is_file()


def load(folder: Path) -> Any:
    """Open a stored data set.

    Raises
    ------
    DataError
        It holds several splits, or cannot be read.
    MissingExtraError
        The package `datasets` is not installed.
    """
    if (folder / "dataset_dict.json").is_file():
        splits = sorted(part.name for part in folder.iterdir() if (part / "dataset_info.json").is_file())
        raise DataError(
            f"Expected one data set at {folder}, but found the splits {', '.join(splits)}: give one of them."
        )
    if importlib.util.find_spec("datasets") is None:
        raise MissingExtraError("datasets", "datasets", f"Reading the data set at {folder}")
    import datasets

    try:
        return datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"Expected a data set written by save_to_disk at {folder}, but cannot read it: {error}."
        ) from None


def columns_of(
    dataset: Any,
    path_column: str | None = None,
    label_column: str | None = None,
    id_column: str | None = None,
    images: Any = None,
) -> Table:
    """The columns `path`, `label` and `id` of a data set, those that it has, under these names.

    Pictures stay where they are until they are opened. Labels of a `ClassLabel` become its names, -1 an empty one.

    Raises
    ------
    DataError
        An asked column is not there, or a data set that has to be downloaded while it is read (a stream).
    """
    if not hasattr(dataset, "__len__"):
        raise DataError("Expected a data set whose rows can be counted, but found a stream: load it without streaming.")
    kinds = {name: type(kind).__name__ for name, kind in dataset.features.items()}
    table: dict[str, list[Any]] = {}
    pictured = next((name for name, kind in kinds.items() if kind == "Image"), None)
    for role, asked, guess in (
        ("path", path_column, pictured or _usual(kinds, PATH_COLUMNS)),
        ("label", label_column, next((n for n, k in kinds.items() if k == "ClassLabel"), _usual(kinds, LABEL_COLUMNS))),
        ("id", id_column, _usual(kinds, ("id",))),
    ):
        name = asked or guess
        if name is None:
            continue
        if name not in kinds:
            raise DataError(
                f"Expected a column {name} with the {role} in the data set, but found {', '.join(kinds)}. Say which "
                "one it is."
            )
        table[role] = _pictures(dataset, name) if kinds[name] == "Image" else _values(dataset, name)
    return table


def _usual(kinds: dict[str, str], names: tuple[str, ...]) -> str | None:
    return next((kind for name in names for kind in kinds if kind.lower() == name), None)


def _pictures(dataset: Any, name: str) -> list[Any]:
    """Paths, or pictures that are read from the data set when they are opened."""
    import datasets

    raw = dataset.cast_column(name, datasets.Image(decode=False)).with_format(None).select_columns([name])

    def stored(row: int) -> Stored:
        def read() -> bytes:
            entry = raw[row][name]
            data: bytes | None = entry["bytes"] if entry else None
            return data if data is not None else Path(entry["path"] if entry else "no picture").read_bytes()

        return Stored(f"row {row} of the data set", read)

    return [stored(row) for row in range(len(raw))]


def _values(dataset: Any, name: str) -> list[Any]:
    kind = dataset.features[name]
    values = list(dataset.with_format(None)[name])
    if type(kind).__name__ != "ClassLabel":
        return values
    return [kind.names[value] if value is not None and value >= 0 else None for value in values]
