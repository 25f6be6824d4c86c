"""Features as a Lance dataset: one fragment for each part of `srrs embed --shard`, and one commit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from srrs.data.lance_tables import AT_ONCE, CHECKSUM, DATA_FILES, SUFFIX, checksum, data_files
from srrs.data.parts import feature_files, part_contents
from srrs.data.tables import Table
from srrs.errors import DataError, MissingExtraError
from srrs.io import atomic_folder, os_error, sync
from srrs.mapped import release

TEXTS = ("id", "path", "label", "key")
"""Columns of texts."""
ABOUT = ("model", "model_name")
"""Entries of the metadata."""


def write_lance(source: Path, path: Path) -> Path:
    """Write the features in a folder of `srrs embed` as a Lance dataset, and return the path of the dataset.

    Some rows of one part are in memory at a time.

    Raises
    ------
    DataError
        The folder contains no features, or parts that do not belong together; `path` does not end with `.lance`; there
        is something at `path`; or nothing can be written there.
    MissingExtraError
        The package pylance is not installed.
    """
    try:
        import lance
        from lance.fragment import write_fragments
    except ImportError:
        raise MissingExtraError("pylance", "lance", "A Lance dataset") from None
    if path.suffix.lower() != SUFFIX:  # srrs would not read it as a Lance dataset
        raise DataError(f"Expected a name that ends with {SUFFIX}, but got {path}. Give the name {path}{SUFFIX}.")
    if path.exists():
        raise DataError(f"Expected nothing at {path}, but there is something. Remove it, or give another name.")
    with atomic_folder(path) as part:
        fragments: list[Any] = []
        checksums: dict[str, str] = {}
        about: dict[str, str] = {}
        schema: Any = None
        try:
            for table, arrays in part_contents(feature_files(source)):
                columns = _columns(table, arrays)
                count = len(columns["embeddings"])
                about = {name: str(arrays[name]) for name in ABOUT if name in arrays}
                checksums = {name: checksum(column, checksums.get(name, "0")) for name, column in columns.items()}
                schema = schema or _schema(columns)
                if count:
                    rows = _batches(columns, schema)
                    fragments += write_fragments(
                        rows, part, schema=schema, mode="create", max_rows_per_file=count, max_bytes_per_file=2**60
                    )
            if not fragments:
                raise DataError(f"Expected features in {source}, but found none.")
            marks = {CHECKSUM + name: value for name, value in checksums.items()}
            whole = schema.with_metadata(about | marks | {DATA_FILES: data_files(fragments)})
            lance.LanceDataset.commit(part, lance.LanceOperation.Overwrite(whole, fragments))
            sync(part)
        except OSError as error:
            raise (error if error.errno else os_error(error)) from None
    return path


def _columns(table: Table, arrays: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of a part. `views` is left out if there are no augmented views."""
    views = {"views": arrays["views"]} if arrays["views"].shape[1] else {}
    return {"embeddings": arrays["plain"], **views, **{name: table[name] for name in TEXTS if name in table}}


def _schema(columns: dict[str, Any]) -> Any:
    """Return the pyarrow schema of the columns: nested lists of fixed size for arrays, else texts."""
    import pyarrow as pa

    def kind(column: Any) -> Any:
        if isinstance(column, list):
            return pa.string()
        found = pa.from_numpy_dtype(column.dtype)
        for size in reversed(column.shape[1:]):
            found = pa.list_(found, size)
        return found

    return pa.schema([(name, kind(column)) for name, column in columns.items()])


def _batches(columns: dict[str, Any], schema: Any) -> Any:
    """Return a reader of the columns that yields some rows at a time."""
    import pyarrow as pa

    def filled(column: Any, kind: Any) -> Any:
        if isinstance(column, list):
            return pa.array(column, kind)
        array = pa.array(np.ascontiguousarray(column).ravel())
        kinds = [kind]
        while pa.types.is_fixed_size_list(kinds[-1].value_type):
            kinds.append(kinds[-1].value_type)
        for inner in reversed(kinds):
            array = pa.FixedSizeListArray.from_arrays(array, type=inner)
        return array

    def batches() -> Iterator[Any]:
        for start in range(0, len(columns["embeddings"]), AT_ONCE):
            part = [filled(columns[field.name][start : start + AT_ONCE], field.type) for field in schema]
            for column in columns.values():
                if isinstance(column, np.ndarray):
                    release(column)
            yield pa.RecordBatch.from_arrays(part, schema=schema)

    return pa.RecordBatchReader.from_batches(schema, batches())
