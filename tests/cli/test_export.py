"""`srrs export` as users meet it; what the forms hold is tested beside them."""

import json
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from audits import hand_audit
from srrs.audit.table import Audit
from srrs.cli import main

ROWS = [
    {"id": "b.jpg", "path": "b.jpg", "given": "dog", "suggested": "cat", "suggested_confidence": 0.5, "quality": 0.25},
    {"id": "a.jpg", "path": "a.jpg", "given": "cat", "suggested": "cat", "suggested_confidence": 0.5, "quality": 0.75},
]


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def export(monkeypatch, capsys, tmp_path: Path):
    """`srrs export audit ...` in a folder with an audit in `audit/`."""
    hand_audit(ROWS, ("cat", "dog")).to_json(tmp_path / "audit" / "audit.json")
    monkeypatch.chdir(tmp_path)

    def run(*words: object, source: str = "audit") -> Outcome:
        monkeypatch.setattr(sys, "argv", ["srrs", "export", source, *map(str, words)])
        try:
            main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        return Outcome(status, *capsys.readouterr())

    return run


@pytest.mark.parametrize(
    ("words", "files"),
    [
        (("--out", "x.csv"), ["x.csv"]),
        (("--out", "x.parquet"), ["x.parquet"]),
        (("--out", "new/x.JSON"), ["new/x.JSON"]),
        (("--out", "x.csv", "--format", "datalab"), ["x.csv"]),
        (("--out", "fo", "--format", "fiftyone"), ["fo/samples.json", "fo/metadata.json"]),
        (("--out", "ls", "--format", "label-studio"), ["ls/tasks.json", "ls/label_config.xml"]),
    ],
)
def test_every_form_is_written_and_named(export, tmp_path: Path, words: tuple[str, ...], files: list[str]) -> None:
    outcome = export(*words)
    assert outcome.status == 0, outcome.err
    assert outcome.out == f"written: {words[1]}\n"
    assert all((tmp_path / file).is_file() for file in files)


def test_with_json_the_form_and_the_files_are_told(export) -> None:
    assert json.loads(export("--out", "x.csv", "--json").out) == {"format": "csv", "files": ["x.csv"]}


def test_an_exported_json_is_the_audit_again(export, tmp_path: Path) -> None:
    export("--out", "copy.json", source="audit/audit.json")
    found, before = Audit.from_json(tmp_path / "copy.json"), Audit.from_json(tmp_path / "audit" / "audit.json")
    assert found.table.equals(before.table)
    assert (found.class_names, found.noise) == (before.class_names, before.noise)


def test_pictures_are_found_below_the_folder_of_the_images(export, tmp_path: Path) -> None:
    export("--out", "fo", "--format", "fiftyone", "--images", "photos")
    samples = json.loads((tmp_path / "fo" / "samples.json").read_bytes())["samples"]
    assert [sample["filepath"] for sample in samples] == [
        str(tmp_path / "photos" / name) for name in ("b.jpg", "a.jpg")
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--out", "x"),
            "expected one of the formats csv, parquet, json, fiftyone, label-studio, datalab, onnx, lance",
        ),
        (("--out", "x.csv", "--format", "coco"), "in --format, but found coco"),
        (("--out", "x", "--format", "imagefolder"), "is written by srrs apply AUDIT --to FOLDER"),
        (("--out", "x.onnx"), "Expected a folder written by `srrs fit --out`"),
        (("--out", "audit"), "ends with none of .csv"),
        (("--out", "audit", "--format", "csv"), "Cannot write audit: "),
        (("--out", "ls", "--format", "label-studio", "--served", "/nowhere"), "Expected images below /nowhere"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(export, words: tuple[str, ...], message: str) -> None:
    outcome = export(*words)
    assert outcome.status == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err


def test_a_folder_without_an_audit_is_named(export, tmp_path: Path) -> None:
    outcome = export("--out", "x.csv", source="nowhere")
    assert outcome.status == 2
    assert "Expected an audit as srrs writes it" in outcome.err
