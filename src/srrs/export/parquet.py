"""The audit table as parquet. Columns keep their type (text or number), even if they are empty."""

import os
from pathlib import Path
from typing import Any

import pandas as pd

from srrs.audit.table import NUMBERS, SCHEMA_VERSION, Audit
from srrs.data.tables import PIECE
from srrs.errors import MissingExtraError
from srrs.io import atomic


def write_parquet(audit: Audit, path: str | os.PathLike[str]) -> Path:
    """Write the audit table, with one row per row of the user in the user's order, and return the path.

    Missing values are null. The metadata of the file contain the schema version as `srrs_schema_version`. If a file
    name contains bytes that are not valid UTF-8, these bytes are written as backslash escapes, as in the CSV. Raises
    MissingExtraError without pyarrow, and DataError if the path cannot be written.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet", "A parquet table") from None
    fields = [(str(name), pa.float64() if name in NUMBERS else pa.string()) for name in audit.table.columns]
    schema = pa.schema(fields, {"srrs_schema_version": str(SCHEMA_VERSION)})
    with atomic(path) as part, pq.ParquetWriter(part, schema) as writer:
        for start in range(0, max(len(audit), 1), PIECE):
            piece = audit.table.iloc[start : start + PIECE]
            arrays = [pa.array(_cells(piece, name), kind, from_pandas=True) for name, kind in fields]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    return Path(path)


def _cells(table: pd.DataFrame, name: str) -> list[Any]:
    """Return the values of a column, with text as valid UTF-8."""
    return table[name].tolist() if name in NUMBERS else [_text(cell) for cell in table[name]]


def _text(cell: str | None) -> str | None:
    """Return a text with bytes that are not valid UTF-8 as backslash escapes."""
    return None if cell is None else cell.encode("utf-8", "backslashreplace").decode()
