"""Tables as people keep them: separators, encodings and column names are found rather than asked for."""

import csv
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from srrs.errors import DataError, MissingExtraError

Table = Mapping[str, list[Any]]
"""Columns, all of one length; of a text file every entry is text."""
TABLES = (".csv", ".tsv", ".parquet")

PATH_COLUMNS = ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img")
LABEL_COLUMNS = ("label", "class", "tag", "given", "class_name", "category")


def read_text(path: Path) -> str:
    """A file as UTF-8, with or without a byte order mark; `DataError` if that cannot be."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"Expected a text file at {path}, but could not open it: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise DataError(f"Expected UTF-8 text in {path}, but found another encoding. Save it as UTF-8.") from None


def read_table(path: Path) -> Table:
    """A parquet file, or a comma, semicolon or tab separated one whose first line names its columns.

    Raises
    ------
    DataError
        The file is missing, empty or malformed, or a line has more entries than there are columns.
    MissingExtraError
        A parquet file, and pyarrow is not installed.
    """
    return _parquet(path) if path.suffix.lower() == ".parquet" else _text_table(path)


def _parquet(path: Path) -> Table:
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingExtraError("pyarrow", "parquet", f"Reading {path}")
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(path).read()
    except (OSError, ValueError) as error:
        raise DataError(f"Expected a parquet table at {path}, but could not read it: {error}.") from None
    return {name: table.column(name).to_pylist() for name in table.column_names}


def columns_of(path: Path) -> list[str]:
    """The names of a parquet file's columns, without reading the rest; none where it is no such file."""
    if path.suffix.lower() != ".parquet" or not path.is_file() or importlib.util.find_spec("pyarrow") is None:
        return []
    import pyarrow.parquet

    try:
        return list(pyarrow.parquet.read_schema(path).names)
    except (OSError, ValueError):
        return []


def _text_table(path: Path) -> Table:
    text = read_text(path)
    header = text.split("\n", 1)[0]
    reader = csv.reader(text.splitlines(keepends=True), delimiter=max(",;\t", key=header.count))
    try:
        rows = [(reader.line_num, [entry.strip() for entry in row]) for row in reader if any(row)]
    except csv.Error as error:
        raise DataError(f"Expected a table in {path}, but line {reader.line_num} is malformed: {error}.") from None
    if not rows:
        raise DataError(f"Expected a table whose first line names its columns in {path}, but it is empty.")
    columns = rows[0][1]
    for line, row in rows:
        if len(row) > len(columns):
            raise DataError(
                f"Expected {len(columns)} columns in line {line} of {path}, but found {len(row)}. "
                "Put quotes around entries that hold the separator."
            )
        row += [""] * (len(columns) - len(row))
    return {name: [row[at] for _, row in rows[1:]] for at, name in enumerate(columns)}


def text_of(value: Any) -> str:
    """A table's entry as text: '' for a missing one, 3 for a 3.0 that missing neighbours made a float."""
    if value is None or (str(value) in ("nan", "<NA>", "NaT") and not isinstance(value, str)):
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def find_column(table: Table, asked: str | None, usual: Sequence[str], what: str, source: str) -> list[Any]:
    """The column asked for, else the first with a usual name, in any case.

    Raises
    ------
    DataError
        There is none; the message names the columns there are.
    """
    known = {name.lower(): name for name in reversed(list(table))}
    wanted = usual if asked is None else (asked,)
    for name in wanted:
        if name in table:
            return table[name]
        if name.lower() in known:
            return table[known[name.lower()]]
    raise DataError(
        f"Expected a column with the {what} ({', '.join(wanted)}) in {source}, but found the columns "
        f"{', '.join(table)}. Say which one it is, or name the columns in the first line."
    )


def find_ids(table: Table, asked: str | None, texts: Sequence[str], source: str) -> list[str]:
    """Ids: the column asked for, else a column `id` whose entries differ, else the paths, repeated ones as a.jpg#2.

    In the column asked for an id may stand in several rows: they are photographs of one object.

    Raises
    ------
    DataError
        The column asked for has an empty id; the message names the row.
    """
    if asked is None:
        guess = next(([text_of(id) for id in table[name]] for name in table if name.lower() == "id"), [])
        serves = bool(guess) and all(guess) and len(set(guess)) == len(guess)
        return guess if serves else apart([text or f"row {row}" for row, text in enumerate(texts, 1)])
    ids = [text_of(id) for id in find_column(table, asked, (), "id", source)]
    if "" in ids:
        row = ids.index("") + 1
        raise DataError(f"Expected an id in every row of column {asked} of {source}, but row {row} has none.")
    return ids


def apart(ids: Sequence[str]) -> list[str]:
    """Ids made to differ: #2, #3… at the repeated ones."""
    taken, used, out = set(ids), set[str](), []
    for name in ids:
        unique, number = name, 1
        while unique in used or (number > 1 and unique in taken):
            number += 1
            unique = f"{name}#{number}"
        used.add(unique)
        out.append(unique)
    return out
