"""Where the pictures of an audit lie."""

from pathlib import Path

import pytest

from audits import hand_audit
from srrs.errors import DataError
from srrs.export.pictures import picture_files


def test_relative_paths_start_from_the_root_and_absolute_ones_stay(tmp_path: Path, monkeypatch) -> None:
    audit = hand_audit([{"id": "1", "path": "a/../b.jpg"}, {"id": "2", "path": "/x/c.jpg"}], ("cat",))
    assert picture_files(audit, tmp_path) == [tmp_path / "b.jpg", Path("/x/c.jpg")]
    monkeypatch.chdir(tmp_path)
    assert picture_files(audit, None) == [tmp_path / "b.jpg", Path("/x/c.jpg")]


def test_rows_without_a_file_are_named_and_counted() -> None:
    rows = [{"id": "1", "path": "a.jpg"}, {"id": "2", "path": ""}, {"id": "3"}]
    with pytest.raises(DataError, match="'2' is no file, 2 of 3 rows"):
        picture_files(hand_audit(rows, ("cat",)), None)
