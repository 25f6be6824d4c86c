"""Embeddings as a Lance dataset: a folder `NAME.lance` with one row per embedding.

Lance verifies no checksum. Therefore `srrs export` writes the checksum of each column into the metadata of the dataset.
The checksums are verified unless the dataset has a later version, which another program has made.

n rows, D feature size.
"""

import contextlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from srrs.errors import DataError, MissingExtraError
from srrs.io import check_regular
from srrs.mapped import empty, release

SUFFIX = ".lance"
"""Extension of the folder of a Lance dataset."""
AT_ONCE = 16_384
"""Number of rows that are read or written at a time."""
CHECKSUM = "srrs_checksum_"
"""Beginning of the names of the metadata entries with the checksums of the columns."""


def read_lance(path: Path) -> dict[str, Any]:
    """Return the columns and the metadata of a Lance dataset by name.

    A column of vectors becomes an array, which is stored in a temporary file if it is large. Columns of texts and
    numbers become lists. Other columns, such as images, are not read.

    Raises
    ------
    DataError
        The dataset is damaged.
    MissingExtraError
        The package pylance is not installed.
    """
    try:
        import lance
    except ImportError:
        raise MissingExtraError("pylance", "lance", f"Reading {path}") from None
    with _reading(path):
        for file in path.rglob("*"):
            if not file.is_dir():
                check_regular(file)
        dataset = lance.dataset(str(path))
        about = {name.decode(): text.decode() for name, text in (dataset.schema.metadata or {}).items()}
        columns = {field.name: _column(dataset, field) for field in dataset.schema if _is_read(field.type)}
        if dataset.version == 1:
            for name, column in columns.items():
                written = about.get(CHECKSUM + name)
                if written is not None and written != checksum(column):
                    raise ValueError(f"its column {name} is not as it was written (the checksum differs)")
    return {name: text for name, text in about.items() if not name.startswith(CHECKSUM)} | columns


def checksum(column: Any, before: str = "0") -> str:
    """Return the checksum of an array or of a list of texts. `before` is the checksum of the rows before."""
    value = int(before, 16)
    for start in range(0, len(column), AT_ONCE):
        part = column[start : start + AT_ONCE]
        if isinstance(part, np.ndarray):
            value = zlib.crc32(np.ascontiguousarray(part).data, value)
            release(column)
        else:
            value = zlib.crc32("".join(f"{text}\0" for text in part).encode(), value)
    return f"{value:08x}"


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Within this block, turn errors of lance into a DataError. For some damaged files, lance raises a Rust panic."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        reason = str(error).split(", /")[0].splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"Expected embeddings as a Lance dataset at {path}, but cannot read it: {reason}.") from None


def _is_read(kind: Any) -> bool:
    """Return whether a column of a type is read: vectors, texts and numbers."""
    import pyarrow as pa

    while _is_list(kind):
        kind = kind.value_type
    return any(
        test(kind) for test in (pa.types.is_floating, pa.types.is_integer, pa.types.is_string, pa.types.is_large_string)
    )


def _is_list(kind: Any) -> bool:
    """Return whether a type is one of lists."""
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _column(dataset: Any, field: Any) -> Any:
    """Return a column: an array for lists of floats, else a list. Some rows are in memory at a time."""
    scanner = dataset.scanner(
        columns=[field.name], batch_size=AT_ONCE, scan_in_order=True, batch_readahead=1, fragment_readahead=1
    )
    parts = (batch.column(0) for batch in scanner.to_batches())
    if not _is_list(field.type):
        return [entry for part in parts for entry in part.to_pylist()]
    out: np.ndarray | None = None
    start = 0
    for part in parts:
        rows = _vectors(part)
        if out is None:
            out = empty((dataset.count_rows(), *rows.shape[1:]), rows.dtype)
        if rows.shape[1:] != out.shape[1:]:
            raise ValueError(f"the vectors in the column {field.name} have several lengths")
        out[start : start + len(rows)] = rows
        release(out)
        start += len(rows)
    if out is None or start != len(out):
        raise ValueError(f"the column {field.name} has {start:,} of {dataset.count_rows():,} rows")
    return out


def _vectors(part: Any) -> np.ndarray:
    """Return a column of lists (of lists) of numbers as an array. The numbers of a missing vector are NaN."""
    present = part.is_valid().to_numpy(zero_copy_only=False)
    shape: list[int] = []
    flat = part
    while _is_list(flat.type):
        length, flat = len(flat) - flat.null_count, flat.flatten()
        shape.append(len(flat) // max(length, 1))
    values: np.ndarray = flat.to_numpy(zero_copy_only=False)
    if values.size != present.sum() * int(np.prod(shape)):
        raise ValueError("the vectors have several lengths")
    rows = values.reshape(-1, *shape)
    if present.all():
        return rows
    out = np.full((len(part), *shape), np.nan, rows.dtype if rows.dtype.kind == "f" else np.float32)
    out[present] = rows
    return out
