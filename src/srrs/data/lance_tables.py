"""Embeddings as a Lance dataset: a folder `NAME.lance` with one row per embedding.

Lance verifies no checksum. Therefore `srrs export` writes the checksum of each column into the metadata of the dataset.
The checksums are verified unless another program has written the data. Then the dataset has a later version, or it is a
copy with other data files.

n rows, D feature size.
"""

import contextlib
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from srrs.data.vectors import VECTORS
from srrs.errors import DataError, MissingExtraError
from srrs.io import check_regular
from srrs.mapped import empty, release

SUFFIX = ".lance"
"""Extension of the folder of a Lance dataset."""
AT_ONCE = 16_384
"""Number of rows that are read or written at a time."""
CHECKSUM = "srrs_checksum_"
"""Beginning of the names of the metadata entries with the checksums of the columns."""
DATA_FILES = "srrs_data_files"
"""Name of the metadata entry with the names of the data files that the checksums belong to."""


def read_lance(path: Path) -> dict[str, Any]:
    """Return the columns and the metadata of a Lance dataset by name.

    A column of vectors or of views becomes an array, which is stored in a temporary file if it is large. Columns of
    texts and numbers become lists. Other columns, such as images and lists of tags, are not read.

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
        columns = {field.name: _column(dataset, field) for field in dataset.schema if _is_read(field)}
        if dataset.version == 1 and about.get(DATA_FILES) == _data_files(dataset):
            for name, column in columns.items():
                written = about.get(CHECKSUM + name)
                if written is not None and written != checksum(column):
                    raise ValueError(f"its column {name} is not as it was written (the checksum differs)")
    return {name: text for name, text in about.items() if not name.startswith((CHECKSUM, DATA_FILES))} | columns


def checksum(column: Any, before: str = "0") -> str:
    """Return the checksum of an array or of a list of texts. `before` is the checksum of the preceding rows."""
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


def data_files(fragments: Iterable[Any]) -> str:
    """Return the names of the data files of fragments, joined. A copy of the rows has files with other names."""
    return " ".join(sorted(file.path for fragment in fragments for file in fragment.files))


def _data_files(dataset: Any) -> str:
    return data_files(fragment.metadata for fragment in dataset.get_fragments())


def _is_read(field: Any) -> bool:
    """Return whether a column is read: texts, numbers, and lists of numbers under a name of vectors or views."""
    import pyarrow as pa

    kind = field.type
    if not _is_list(kind):
        return any(test(kind) for test in (_is_number, pa.types.is_string, pa.types.is_large_string))
    while _is_list(kind):
        kind = kind.value_type
    return field.name in (*VECTORS, "views") and _is_number(kind)


def _is_number(kind: Any) -> bool:
    """Return whether a type is one of numbers."""
    import pyarrow as pa

    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _is_list(kind: Any) -> bool:
    """Return whether a type is one of lists."""
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _column(dataset: Any, field: Any) -> Any:
    """Return a column: an array of floats for lists, else a list. Some rows are in memory at a time."""
    scanner = dataset.scanner(
        columns=[field.name], batch_size=AT_ONCE, scan_in_order=True, batch_readahead=1, fragment_readahead=1
    )
    parts = (batch.column(0) for batch in scanner.to_batches())
    if not _is_list(field.type):
        return [entry for part in parts for entry in part.to_pylist()]
    out: np.ndarray | None = None
    start = 0
    for part in parts:
        stop = start + len(part)
        if part.null_count < len(part):
            rows = _vectors(part)
            if out is None:  # the numbers of the missing vectors before are NaN
                out = empty((dataset.count_rows(), *rows.shape[1:]), rows.dtype)
                out[:start] = np.nan
            if rows.shape[1:] != out.shape[1:]:
                raise ValueError(f"the vectors in the column {field.name} have several lengths")
            out[start:stop] = rows
        elif out is not None:
            out[start:stop] = np.nan
        if out is not None:
            release(out)
        start = stop
    if start != dataset.count_rows():
        raise ValueError(f"the column {field.name} has {start:,} of {dataset.count_rows():,} rows")
    if out is None:
        raise ValueError(f"the column {field.name} has no vectors")
    return out


def _vectors(part: Any) -> np.ndarray:
    """Return a column of lists (of lists) of numbers, not all missing, as an array of floats.

    The numbers of a missing vector are NaN.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    present = part.is_valid().to_numpy(zero_copy_only=False)
    shape: list[int] = []
    flat = part
    while _is_list(flat.type):
        lengths = pc.unique(pc.list_value_length(flat.drop_null())).to_pylist()
        if len(lengths) > 1:
            raise ValueError("the vectors have several lengths")
        shape += lengths or [0]
        flat = flat.flatten()
    values: np.ndarray = flat.to_numpy(zero_copy_only=False)
    if values.size != present.sum() * int(np.prod(shape)):
        raise ValueError("the vectors have several lengths")
    if not pa.types.is_floating(flat.type):
        values = values.astype(np.float32)
    out = np.full((len(part), *shape), np.nan, values.dtype)
    out[present] = values.reshape(-1, *shape) if values.size else 0
    return out
