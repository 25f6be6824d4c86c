"""The folder for FiftyOne, read as its importer of `FiftyOneDataset` reads it."""

import json
from pathlib import Path

import pytest

from audits import hand_audit
from srrs.audit.table import SCHEMA_VERSION
from srrs.errors import DataError
from srrs.export.fiftyone import write_fiftyone

ROWS = [
    {
        "id": "z", "path": "in/z.jpg", "given": "</script>", "suggested": "cat", "suggested_confidence": 0.75,
        "quality": 0.125, "zero_shot": "cat",
    },
    {"id": "a", "path": "/elsewhere/a b.jpg", "given": "cat", "suggested": "cat", "status": "clean", "quality": 0.5},
    {
        "id": "m", "path": "in/z.jpg", "given": "\x00 ü", "status": "unusable", "issue": "empty file",
        "flags": "blurry; dark",
    },
]  # fmt: skip
NAMES = ("cat", "</script>", "\x00 ü")


def imported(folder: Path) -> tuple[dict, list[dict]]:
    """What FiftyOne does: without a version it takes the JSON form, and relative paths from the folder."""
    metadata = json.loads((folder / "metadata.json").read_bytes())
    assert "version" not in metadata
    samples = json.loads((folder / "samples.json").read_bytes())["samples"]
    assert all(Path(sample["filepath"]).is_absolute() for sample in samples)
    return metadata, samples


def test_rows_come_back_in_order_with_ids_names_and_scores(tmp_path: Path) -> None:
    metadata, samples = imported(write_fiftyone(hand_audit(ROWS, NAMES), tmp_path / "out", tmp_path))
    assert metadata["info"]["classes"] == list(NAMES)
    assert metadata["info"]["srrs"]["schema_version"] == SCHEMA_VERSION
    assert [sample["row_id"] for sample in samples] == ["z", "a", "m"]
    assert [sample["given"]["label"] for sample in samples] == ["</script>", "cat", "\x00 ü"]
    assert [sample["filepath"] for sample in samples] == [
        str(tmp_path / "in/z.jpg"), "/elsewhere/a b.jpg", str(tmp_path / "in/z.jpg"),
    ]  # fmt: skip
    assert [sample["tags"] for sample in samples] == [["noisy"], ["clean"], ["unusable"]]


def test_labels_are_classifications_and_what_is_empty_is_left_out(tmp_path: Path) -> None:
    _, samples = imported(write_fiftyone(hand_audit(ROWS, NAMES), tmp_path, tmp_path))
    assert samples[0]["suggested"] == {"_cls": "Classification", "tags": [], "label": "cat", "confidence": 0.75}
    assert samples[0]["quality"] == 0.125
    assert set(samples[2]) == {"filepath", "tags", "row_id", "status", "issue", "flags", "given"}
    assert (samples[2]["issue"], samples[2]["flags"]) == ("empty file", "blurry; dark")


def test_a_row_that_is_no_file_is_refused_by_name(tmp_path: Path) -> None:
    audit = hand_audit([*ROWS, {"id": "array-7", "given": "cat"}], NAMES)
    with pytest.raises(DataError, match=r"'array-7' is no file, 1 of 4 rows are not\. Export csv, parquet"):
        write_fiftyone(audit, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(DataError, match="Cannot write"):
        write_fiftyone(hand_audit(ROWS, NAMES), tmp_path / "out")
