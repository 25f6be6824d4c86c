"""The audit table as parquet: text stays text and numbers stay numbers, also in columns that are empty."""

import os
from pathlib import Path
from typing import Any

import pandas as pd

from srrs.audit.table import NUMBERS, SCHEMA_VERSION, Audit
from srrs.data.tables import PIECE
from srrs.errors import MissingExtraError
from srrs.io import atomic


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
    schema = pa.schema(fields, {"srrs_schema_version": str(SCHEMA_VERSION)})
    with atomic(path) as part, pq.ParquetWriter(part, schema) as writer:
        for start in range(0, max(len(audit), 1), PIECE):
            piece = audit.table.iloc[start : start + PIECE]
            arrays = [pa.array(_cells(piece, name), kind, from_pandas=True) for name, kind in fields]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    return Path(path)


def _cells(table: pd.DataFrame, name: str) -> list[Any]:
    return table[name].tolist() if name in NUMBERS else [_text(cell) for cell in table[name]]


def _text(cell: str | None) -> str | None:
    return None if cell is None else cell.encode("utf-8", "backslashreplace").decode()
