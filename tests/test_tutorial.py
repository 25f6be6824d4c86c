"""The tutorial and its notebook run as they stand, on fewer photographs and with fewer steps."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from audits import hand_audit
from srrs.cli import app
from srrs.data.folders import find_pictures

DOCS = Path(__file__).parents[1] / "docs"
TUTORIAL = (DOCS / "tutorial.md").read_text()
NOTEBOOK = json.loads((DOCS / "tutorial.ipynb").read_text())
CODE = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
(PRACTICE,) = re.findall(r"```python\n# practice\.py.*?\n(.*?)```", TUTORIAL, re.DOTALL)
(DECISIONS,) = re.findall(r"```csv\n(.*?)```", TUTORIAL, re.DOTALL)
COMMANDS = [shlex.split(line)[1:] for line in re.findall(r"^srrs .*$", TUTORIAL, re.MULTILINE)]
QUICK = {"steps": 2, "views": 0}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def held_short(work: Path, each: int = 2) -> None:
    """Leave `each` photographs of a class to test on: the rest only takes time."""
    for folder in (work / "held").iterdir():
        for photo in sorted(folder.iterdir())[each:]:
            photo.unlink()


def run(command: list[str], work: Path) -> None:
    """One command of the tutorial, its `*` expanded as a shell does it."""
    words = [str(next(iter(work.glob(word)), word)) if "*" in word else word for word in command]
    if command[0] in ("audit", "fit"):
        words += [part for name, value in QUICK.items() for part in ("--set", f"{name}={value}")]
    outcome = CliRunner().invoke(app, words, catch_exceptions=False)
    assert outcome.exit_code == 0, f"{' '.join(words)}: {outcome.output}"


def test_the_tutorial_runs_and_does_to_the_photographs_what_it_says(work: Path) -> None:
    exec(PRACTICE, {})
    held_short(work)
    (work / "decisions.csv").write_text(DECISIONS)
    before = {path: path.read_bytes() for path in find_pictures(work / "photos")[0]}
    assert len(before) == 128
    assert sum(path.parent.name != path.name.split("_image_")[0] for path in before) == 24
    *commands, undo = COMMANDS
    for command in commands:
        run(command, work)
    assert [command[0] for command in COMMANDS] == ["audit", "apply", "apply", "fit", "predict", "undo"]
    assert len(find_pictures(work / "cleaned")[0]) == 127
    assert (work / "cleaned" / "crayfish" / "crayfish_image_0037.jpg").exists()
    assert len(pd.read_csv(work / "predictions.csv")) == 8
    run(undo, work)
    assert not (work / "cleaned").exists()
    assert {path: path.read_bytes() for path in find_pictures(work / "photos")[0]} == before


def test_the_page_has_the_parts_that_the_tutorial_names(tmp_path: Path) -> None:
    named = re.findall(r"\*\*(.*?)\*\*", TUTORIAL.split("## 3. Read the page")[1].split("## 4.")[0], re.DOTALL)
    row = {"id": "a.jpg", "path": "a.jpg", "given": "cat", "suggested": "dog"}
    page = hand_audit([row], ("cat", "dog")).report(tmp_path / "report.html").read_text()
    assert len(named) >= 9
    for words in named:
        assert f">{' '.join(words.split())}<" in page


def test_the_cells_of_the_notebook_run_in_order(work: Path) -> None:
    names: dict[str, Any] = {}
    for number, cell in enumerate(CODE):
        exec(compile(cell, f"cell {number}", "exec"), names)
        if number == 0:
            names["settings"] |= QUICK
        if (work / "held").exists() and number == 1:
            held_short(work)
    table = names["table"]
    assert len(table) == 128
    assert table.wrong.sum() == 24
    assert table[table.status == "noisy"].wrong.mean() > 0.5
    assert all((work / name).exists() for name in ("report.html", "audit.json", "audit.csv", "model/head.safetensors"))


def test_the_notebook_and_the_tutorial_make_the_same_photographs() -> None:
    assert PRACTICE.strip() in CODE


def test_the_notebook_is_kept_without_outputs() -> None:
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in NOTEBOOK["cells"])
