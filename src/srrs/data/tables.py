"""Functions that read and write tables. Separators, encodings and column names are detected."""

import csv
import importlib.util
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from srrs.data.pictures import Picture
from srrs.errors import DataError, MissingExtraError
from srrs.io import check_regular, is_file, read_bytes

if TYPE_CHECKING:
    import pandas as pd

Table = Mapping[str, list[Any]]
"""Columns of equal length, by name. If the table comes from a text file, every entry is text."""
PIECE = 100_000
"""Number of rows of a table that are written at a time."""
TABLES = (".csv", ".tsv", ".parquet")
"""Extensions of tables."""

PATH_COLUMNS = ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img")
"""Usual names of the column of paths."""
LABEL_COLUMNS = ("label", "class", "tag", "given", "class_name", "category")
"""Usual names of the column of labels."""


@dataclass(frozen=True)
class TextTable:
    """The content of a CSV file, with its separator and its byte order mark."""

    columns: list[str]
    """Names of the columns."""
    rows: list[list[str]]
    """The rows, each with one cell per column."""
    separator: str
    newline: str
    """Line ending."""
    marked: bool
    """Whether the file begins with a byte order mark."""


def exists(picture: Picture) -> bool:
    """Return whether the file of an image exists; False for a path that the file system does not allow."""
    return is_file(picture) if isinstance(picture, Path) else picture.is_file()


def read_text(path: Path) -> str:
    """Read a file as UTF-8, with or without a byte order mark. Raises DataError if it cannot be read."""
    return _decoded(path)[0]


def _decoded(path: Path) -> tuple[str, bool]:
    """Return the text of a file, and whether it begins with a byte order mark. Raises DataError as `read_text` does."""
    try:
        content = read_bytes(path)
    except OSError as error:
        raise DataError(f"Expected a text file at {path}, but could not open it: {error.strerror}.") from None
    try:
        return content.decode("utf-8-sig"), content.startswith(b"\xef\xbb\xbf")
    except UnicodeDecodeError:
        raise DataError(f"Expected UTF-8 text in {path}, but found another encoding. Save it as UTF-8.") from None


def read_table(path: Path, without: str | None = None) -> Table:
    """Return the columns of a table by name.

    The table is a parquet file, or a text file with commas, semicolons or tabs whose first line names the columns. The
    column `without` of a parquet file is not read.

    Raises
    ------
    DataError
        The file is missing, empty or malformed, two columns have the same name, or a line has more entries than there
        are columns.
    MissingExtraError
        The file is a parquet file, and pyarrow is not installed.
    """
    if path.suffix.lower() == ".parquet":
        table = read_parquet(path, without)
        try:
            return {name: table.column(at).to_pylist() for at, name in enumerate(table.column_names)}
        except Exception as error:  # pyarrow raises nearly any error for damaged values
            raise DataError(f"Expected a parquet table at {path}, but could not read it: {error}.") from None
    text = read_text_table(path)
    return {name: [row[at].strip() for row in text.rows] for at, name in enumerate(text.columns)}


def read_parquet(path: Path, without: str | None = None) -> Any:
    """Return a parquet file as a pyarrow Table, without the column `without`. The errors are those of `read_table`."""
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingExtraError("pyarrow", "parquet", f"Reading {path}")
    import pyarrow.parquet

    wanted = f"Expected a parquet table at {path}"
    try:
        check_regular(path)
        with pyarrow.parquet.ParquetFile(path) as file:
            table = file.read([name for name in file.schema_arrow.names if name != without] if without else None)
            table.validate(full=True)
    except Exception as error:  # pyarrow raises nearly any error for damaged bytes
        raise DataError(f"{wanted}, but could not read it: {error or type(error).__name__}.") from None
    if twice := _twice(table.column_names):
        raise DataError(f"{wanted}, but two columns are called '{twice}'. Rename one of them.")
    return table


def parquet_schema(path: Path) -> Any:
    """Return the schema of a parquet file."""
    import pyarrow.parquet

    return pyarrow.parquet.read_schema(path)


def columns_of(path: Path) -> list[str]:
    """Return the names of a parquet file's columns; an empty list for any other file. The columns are not read."""
    if path.suffix.lower() != ".parquet" or not is_file(path) or importlib.util.find_spec("pyarrow") is None:
        return []
    try:
        return list(parquet_schema(path).names)
    except Exception:  # the functions that read the file report the error
        return []


def read_text_table(path: Path) -> TextTable:
    """Return the content of a text file with commas, semicolons or tabs. The errors are those of `read_table`."""
    text, marked = _decoded(path)
    header = re.split("[\r\n]", text, maxsplit=1)[0]
    separator = max(",;\t", key=header.count)
    # Lines end as in CSV (\n, \r\n, \r). `str.splitlines` would also split at U+2028, NEL and form feeds.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        lines = [(reader.line_num, row) for row in reader if any(row)]
    except csv.Error as error:
        raise DataError(f"Expected a table in {path}, but line {reader.line_num} is malformed: {error}.") from None
    if not lines:
        raise DataError(f"Expected a table whose first line names its columns in {path}, but it is empty.")
    columns = [name.strip() for name in lines[0][1]]
    if twice := _twice([name for name in columns if name]):
        raise DataError(f"Expected different column names in {path}, but '{twice}' stands twice. Rename one of them.")
    for line, row in lines[1:]:
        if len(row) > len(columns):
            raise DataError(
                f"Expected {len(columns)} columns in line {line} of {path}, but found {len(row)}. "
                "Put quotes around entries that hold the separator."
            )
        row += [""] * (len(columns) - len(row))
    newline = "\r\n" if text[len(header) : len(header) + 2] == "\r\n" else "\n"
    return TextTable(columns, [row for _, row in lines[1:]], separator, newline, marked)


def _twice(names: Sequence[str]) -> str:
    """Return a name that occurs several times; '' if there is none."""
    return next((name for name, times in Counter(names).items() if times > 1), "")


_FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""Beginning of a cell that `guarded` changes."""
_GUARDED = re.compile(r"'+[=+\-@\t\r]")
"""Beginning of a cell from which `unguarded` removes a quote."""


def guarded(cell: Any) -> Any:
    """Return a cell with a quote ' in front if a spreadsheet would treat the cell as a formula.

    `unguarded` removes the quote. A cell that already begins with quotes before such a formula gets one more quote, so
    that `unguarded` restores every text exactly.
    """
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def unguarded(cell: str) -> str:
    """Return the original text of a cell from `guarded`, without the added quote."""
    return cell[1:] if _GUARDED.match(cell) else cell


def csv_bytes(frame: "pd.DataFrame", digits: str | None = "%.9g") -> bytes:
    """Return a table as CSV. A text that a spreadsheet would treat as a formula gets a quote in front (see `guarded`).

    `digits` is the format of numbers.
    """
    return b"".join(csv_pieces(frame, digits))


def csv_pieces(frame: "pd.DataFrame", digits: str | None = "%.9g") -> Iterator[bytes]:
    """Yield the result of `csv_bytes` in pieces of some rows."""
    for start in range(0, max(len(frame), 1), PIECE):
        yield _csv(frame.iloc[start : start + PIECE], digits, header=start == 0)


def _csv(frame: "pd.DataFrame", digits: str | None, header: bool) -> bytes:
    """Return a table as CSV, with or without a header."""
    import pandas as pd

    # A list, because `Series.map` raises an error for texts that UTF-8 cannot encode.
    texts = {
        str(name): pd.Series([guarded(cell) for cell in frame[name]], frame.index, dtype=object)
        for name in frame
        if frame[name].dtype == object
    }
    text = frame.assign(**texts).to_csv(index=False, header=header, float_format=digits, lineterminator="\n")
    return str(text).encode("utf-8", "backslashreplace")


def text_of(value: Any) -> str:
    """Return an entry of a table as text; '' for a missing entry.

    3.0 becomes `3`, because a column of whole numbers with missing values contains floats.
    """
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace").strip()
    if value is None or (str(value) in ("nan", "<NA>", "NaT") and not isinstance(value, str)):
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def find_column(
    table: Table, asked: str | None, usual: Sequence[str], what: str, source: str, named: bool = True
) -> list[Any]:
    """Return the column with the name `asked`. If `asked` is None, return the first column with one of the usual names.

    The case of names does not matter. `what` is the content of the column, for messages. `named` is False if no option
    names the column.

    Raises
    ------
    DataError
        There is no such column. The message names the existing columns.
    """
    known = {name.lower(): name for name in reversed(list(table))}
    wanted = usual if asked is None else (asked,)
    for name in wanted:
        if name in table:
            return table[name]
        if name.lower() in known:
            return table[known[name.lower()]]
    raise no_column(what, wanted, source, table, named)


def no_column(
    what: str, wanted: Sequence[str], source: str, found: Iterable[str], named: bool = True, has_lines: bool = True
) -> DataError:
    """Return the error for a missing column, with the option that names the column unless `named` is False.

    `what` is the content of the column (path, label or id), `wanted` are the names that it may have, and `found` are
    the columns of the source. `has_lines` is False if the source is no table whose first line names the columns.
    """
    cures = [f"ame it with --{what} ({what}_column=)"] * named + ["ame the columns in the first line"] * has_lines
    return DataError(
        f"Expected a column with the {what} ({', '.join(wanted)}) in {source}, but found the columns "
        f"{', '.join(map(str, found))}. N{', or n'.join(cures)}."
    )


def find_ids(table: Table, asked: str | None, texts: Sequence[str], source: str) -> list[str]:
    """Return the ids: the column `asked` if it is given, else a column `id` without repeated entries, else the paths.

    In the column `asked`, several rows may have the same id; they are then images of one object. `texts` are the paths.

    Raises
    ------
    DataError
        The column `asked` has an empty id. The message names the row.
    """
    if asked is None:
        guess = next(([text_of(id) for id in table[name]] for name in table if name.lower() == "id"), [])
        serves = bool(guess) and all(guess) and len(set(guess)) == len(guess)
        return guess if serves else apart([text or f"row {row}" for row, text in enumerate(texts, 1)])
    ids = [text_of(id) for id in find_column(table, asked, (), "id", source)]
    if "" in ids:
        row = ids.index("") + 1
        raise DataError(
            f"Expected an id in every row of column {asked} of {source}, but row {row} has none. Fill it, or name "
            "another column with --id (id_column=)."
        )
    return ids


def apart(ids: Sequence[str]) -> list[str]:
    """Return the ids, made unique: a repeated id gets the suffix #2, #3 and so on."""
    taken, used, out = set(ids), set[str](), []
    for name in ids:
        unique, number = name, 1
        while unique in used or (number > 1 and unique in taken):
            number += 1
            unique = f"{name}#{number}"
        used.add(unique)
        out.append(unique)
    return out
