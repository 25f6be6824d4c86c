"""The audit as parquet, read back by two readers."""

import sys

import numpy as np
import pandas as pd
import pytest

from audits import COLUMNS, hand_audit
from srrs.audit.table import NUMBERS, SCHEMA_VERSION
from srrs.errors import DataError, MissingExtraError
from srrs.export.parquet import write_parquet

ROWS = [
    {"id": "b/2.jpg", "path": "b/2.jpg", "given": "nan", "suggested": "=cmd", "quality": 0.25, "issue": 'a "b", c'},
    {"id": "a/1.jpg", "path": None, "given": "=cmd", "status": "clean", "quality": 1 / 3, "suggested": "=cmd"},
    {"id": "c/3\n.jpg", "path": "c/3\n.jpg", "given": "ünï", "status": "unusable", "issue": "empty file"},
]
NAMES = ("nan", "=cmd", "ünï")


@pytest.mark.parametrize("piece", [2, 100])
def test_names_order_ids_and_numbers_come_back_as_they_were(tmp_path, monkeypatch, piece) -> None:
    monkeypatch.setattr("srrs.export.parquet.PIECE", piece)
    audit = hand_audit(ROWS, NAMES)
    found = pd.read_parquet(write_parquet(audit, tmp_path / "audit.parquet"))
    assert tuple(found.columns) == COLUMNS
    for name in COLUMNS:
        if name in NUMBERS:
            np.testing.assert_array_equal(found[name], audit.table[name])
        else:
            assert [None if pd.isna(cell) else cell for cell in found[name]] == audit.table[name].tolist()


def test_the_file_states_its_schema_also_of_columns_that_are_empty(tmp_path) -> None:
    import pyarrow.parquet as pq

    schema = pq.read_schema(write_parquet(hand_audit(ROWS, NAMES), tmp_path / "audit.parquet"))
    assert schema.metadata[b"srrs_schema_version"] == str(SCHEMA_VERSION).encode()
    assert {str(schema.field(name).type) for name in NUMBERS} == {"double"}
    assert str(schema.field("micro").type) == "string"


def test_a_name_whose_bytes_are_no_text_is_written_with_backslashes(tmp_path) -> None:
    audit = hand_audit([{"id": "a/\udcff.jpg", "given": "nan"}], NAMES)
    assert pd.read_parquet(write_parquet(audit, tmp_path / "a.parquet")).id.tolist() == ["a/\\udcff.jpg"]


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"needs the package pyarrow: pip install 'srrs\[parquet\]'"):
        write_parquet(hand_audit(ROWS, NAMES), tmp_path / "audit.parquet")


def test_a_path_that_cannot_be_written_is_said(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="Cannot write"):
        write_parquet(hand_audit(ROWS, NAMES), tmp_path / "file" / "audit.parquet")
