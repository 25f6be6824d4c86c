"""The audit table as parquet: text stays text and numbers stay numbers, also in columns that are empty."""

import io
import os
from pathlib import Path

from srrs.audit.table import NUMBERS, SCHEMA_VERSION, Audit
from srrs.errors import MissingExtraError
from srrs.io import write_atomic


def write_parquet(audit: Audit, path: str | os.PathLike[str]) -> Path:
    """Write the columns of the audit table, a row per image in the user's order, nulls where nothing is known.

    The schema version stands in the file's metadata as `srrs_schema_version`. Text that no file can hold (the name of
    a file whose bytes are no text) is written with backslashes, as in the CSV. Raises MissingExtraError without
    pyarrow, and DataError where the path cannot be written.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet", "A parquet table") from None
    fields = [(str(name), pa.float64() if name in NUMBERS else pa.string()) for name in audit.table.columns]
    cells = {
        name: audit.table[name].tolist() if name in NUMBERS else [_text(cell) for cell in audit.table[name]]
        for name, _ in fields
    }
    arrays = [pa.array(cells[name], kind, from_pandas=True) for name, kind in fields]
    schema = pa.schema(fields, {"srrs_schema_version": str(SCHEMA_VERSION)})
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), buffer)
    return write_atomic(path, buffer.getvalue())


def _text(cell: str | None) -> str | None:
    return None if cell is None else cell.encode("utf-8", "backslashreplace").decode()
