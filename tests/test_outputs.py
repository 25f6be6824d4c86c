"""The page of outputs: its commands run in their order, and its snippet serves without srrs."""

import json
import re
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from srrs import RobustClassifier
from srrs.cli import app
from srrs.data.samples import read

FAST = ["--method", "coop", "--matcher", "none", "--device", "cpu", "--set", "steps=2", "--set", "views=0"]
OUTPUTS = (Path(__file__).parents[1] / "docs" / "outputs.md").read_text()


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, photos: Path, clip_folder: Path) -> Path:
    """A user's working folder: `photos/`, their `audit/` and `model/`, and decisions on it."""
    work = tmp_path_factory.mktemp("outputs")
    shutil.copytree(photos, work / "photos")
    words = ["fit", str(work / "photos"), "--out", str(work / "model"), "--model", str(clip_folder), *FAST]
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    shutil.copytree(work / "model", work / "audit")
    (work / "decisions.csv").write_text("id,action,label\ncat/0.jpg,relabel,dog\ndog/1.jpg,drop,\n")
    return work


def test_the_commands_of_the_page_run_in_their_order(work: Path, clip_folder: Path, monkeypatch) -> None:
    monkeypatch.chdir(work)
    for extra in ("onnxscript", "tensorboard"):
        pytest.importorskip(extra, reason="needs the extras onnx and tensorboard")
    for line in re.findall(r"^srrs .*$", OUTPUTS, re.MULTILINE):
        command = line.split("#")[0].split()[1:]
        if not any(server in line for server in ("wandb:", "mlflow:")):
            more = ["--model", str(clip_folder), *FAST] if command[0] == "audit" else []
            outcome = CliRunner().invoke(app, command + more, catch_exceptions=False)
            assert outcome.exit_code == 0, f"{line}: {outcome.output}"
    written = ("labels.parquet", "for-fiftyone/samples.json", "for-label-studio/tasks.json", "issues.csv")
    assert all((work / name).is_file() for name in (*written, "model.onnx", "model.onnx.json", "audit/history.jsonl"))
    assert list((work / "runs" / "first").iterdir())
    cleaned = sorted(path.relative_to(work / "cleaned").as_posix() for path in (work / "cleaned").rglob("*.jpg"))
    assert len(cleaned) == 17
    assert "dog/0-2.jpg" in cleaned  # cat/0.jpg, beside the dog of that name
    again = read(work / "cleaned")
    assert (again.ids, again.class_names) == (tuple(cleaned), read(work / "photos").class_names)


def test_the_head_serves_in_plain_transformers(work: Path, clip_folder: Path, tmp_path, monkeypatch, capsys) -> None:
    (code,) = re.findall(r"```python\n(# head\.py\n.*?)```", OUTPUTS, re.DOTALL)
    assert "srrs" not in code
    (tmp_path / "head.py").write_text(code)
    photo = work / "photos" / "cat" / "1.jpg"
    monkeypatch.setattr(sys, "argv", ["head.py", str(work / "model"), str(clip_folder), str(photo)])
    capsys.readouterr()
    runpy.run_path(str(tmp_path / "head.py"))
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    classifier = RobustClassifier.load(work / "model")
    assert list(found) == list(classifier.classes_)
    np.testing.assert_allclose(list(found.values()), classifier.predict_proba([str(photo)])[0], atol=2e-3)
