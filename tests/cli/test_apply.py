"""`srrs apply` as users meet it; what it does to files is tested beside audit/."""

import json
from pathlib import Path

import pytest
from PIL import Image

from audits import hand_audit
from commands import run_srrs
from srrs.audit.table import Finding

NAMES = ("cat/1.png", "cat/2.png", "dog/1.png", "dog/cut.png")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder with `photos/` and an audit of it in `out/`."""
    for at, name in enumerate(NAMES):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (60 * at, 0, 0)).save(path)
    rows = [{"id": id, "path": f"photos/{id}", "given": id[:3], "suggested": id[:3]} for id in NAMES]
    rows[0] |= {"suggested": "dog", "suggested_confidence": 0.95}
    rows[1] |= {"flags": "duplicate of cat/1.png"}
    rows[3] |= {"status": "unusable", "issue": "truncated"}
    hand_audit(rows, ("cat", "dog")).to_json(tmp_path / "out" / "audit.json")
    return tmp_path


@pytest.fixture
def apply(work, monkeypatch, capsys):
    """Run `srrs` in a directory elsewhere."""
    (work / "elsewhere").mkdir()
    monkeypatch.chdir(work / "elsewhere")

    def run(*words: object) -> tuple[int, str, str]:
        status = run_srrs(monkeypatch, *words)
        return (status, *capsys.readouterr())

    return run


def images(work: Path) -> list[str]:
    return sorted(path.relative_to(work / "photos").as_posix() for path in (work / "photos").rglob("*.png"))


def test_in_place_needs_no_folder_and_works_from_any_directory(work, apply) -> None:
    status, out, err = apply("apply", work / "out", "--in-place", "--drop", "unusable, duplicates", "--yes", "--json")
    assert status == 0, err
    done = json.loads(out)
    assert done["counts"] == {"relabel": 1, "drop": 1, "keep": 2, "unusable": 0}
    assert images(work) == [
        "cat/2.png",
        "dog/1-2.png",
        "dog/1.png",
    ]  # cat/2 is no copy of a cat then
    assert (work / "photos-dropped" / "dog" / "cut.png").is_file()
    assert apply("undo", done["undo"])[0] == 0
    assert images(work) == sorted(NAMES)


def test_undo_finds_the_one_undo_file_of_an_audit(work, apply) -> None:
    assert "in " + str(work / "out") + ", but found none." in apply("undo", work / "out")[2]
    assert apply("apply", work / "out", "--in-place", "--yes")[0] == 0
    assert apply("undo", work / "out")[0] == 0
    assert images(work) == sorted(NAMES)
    assert "was undone before" in apply("undo", work / "out")[1]
    for name in ("one", "two"):
        assert apply("apply", work / "out", "--to", work / name, "--yes")[0] == 0
    assert "but found 2: " in apply("undo", work / "out")[2]


def test_nothing_to_change_and_unknown_kinds_are_refused(work, apply) -> None:
    assert "expected one of --to FOLDER, --table FILE and --in-place" in apply("apply", work / "out")[2]
    refused = apply("apply", work / "out", "--in-place", "--drop", "blurry")
    assert (refused[0], "but found 'blurry'" in refused[2]) == (2, True)


def test_an_audit_that_does_not_trust_itself_is_not_applied_unreviewed(work, apply) -> None:
    rows = [{"id": id, "path": f"photos/{id}", "given": id[:3]} for id in NAMES]
    said = (Finding("warning", "Most labels of cat look wrong."),)
    hand_audit(rows, ("cat", "dog"), trusted=False, findings=said).to_json(work / "out" / "audit.json")
    status, _, err = apply("apply", work / "out", "--in-place", "--yes")
    assert status == 2
    assert "does not trust its own suggestions enough to apply them unreviewed. Most labels of cat look wrong." in err
    assert images(work) == sorted(NAMES)
