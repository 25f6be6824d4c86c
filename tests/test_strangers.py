"""Folders from strangers run no code and open no connection."""

import json
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from srrs import RobustClassifier
from srrs.cli import app
from srrs.errors import ModelError
from srrs.models.hub import load_model

FAST = {"matcher": "none", "device": "cpu", "steps": 1, "views": 0}
WATCHED = ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.exec", "pickle.find_class")
_seen: list[tuple[str, Any]] = []
_watching: list[bool] = []
EVIL = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"


def _hook(event: str, arguments: Any) -> None:
    if _watching and event in WATCHED:
        _seen.append((event, arguments))


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch):
    """While the test runs, connections, programs and unpickling are noted, and must not occur."""
    if not getattr(sys, "_srrs_hook", False):
        sys.addaudithook(_hook)  # cannot be removed again
        sys._srrs_hook = True  # type: ignore[attr-defined]
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    _watching.append(True)
    pickle.loads(pickle.dumps(Path))
    assert [event for event, _ in _seen] == ["pickle.find_class"]  # the watch works
    _seen.clear()
    yield
    _watching.clear()
    assert _seen == []


class Bomb:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('ran')",)


@pytest.fixture
def stranger(clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model whose every file names code of its own, which lies beside it and could be imported."""
    folder = tmp_path / "stranger"
    shutil.copytree(clip_folder, folder)
    (folder / "evil.py").write_text(EVIL)
    monkeypatch.syspath_prepend(folder)
    code = {name: f"evil.{name}" for name in ("AutoConfig", "AutoModel", "AutoTokenizer", "AutoImageProcessor")}
    for path in [*folder.glob("*config.json"), folder / "processor_config.json"]:
        content = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(content | {"auto_map": code, "trust_remote_code": True}))
    adapter = {"base_model_name_or_path": "somebody/else", "peft_type": "LORA", "auto_mapping": code}
    (folder / "adapter_config.json").write_text(json.dumps(adapter))
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    return folder


def test_a_strangers_model_runs_nothing_and_connects_to_nothing(stranger, photos, tmp_path, quiet) -> None:
    words = ["audit", photos, "--model", stranger, "--matcher", "none", "--device", "cpu", "--out", tmp_path / "audit"]
    outcome = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    assert not (stranger / "ran").exists()


def test_pickled_weights_are_refused_unread(stranger, quiet) -> None:
    (stranger / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="lacks safetensors weights"):
        load_model(str(stranger))


def test_a_strangers_classifier_runs_nothing_and_connects_to_nothing(stranger, photos, tmp_path, quiet) -> None:
    folder = RobustClassifier(str(stranger), method="coop", **FAST).fit(photos).save(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config["settings"] |= {"method": "evil:method", "matcher": "somebody/matcher"}
    (folder / "config.json").write_text(json.dumps(config))
    words = ["predict", str(folder), str(photos), "--json"]
    outcome = CliRunner().invoke(app, words, catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    assert len(json.loads(outcome.stdout)["predictions"]) == 18
    assert not (stranger / "ran").exists()


def test_a_strangers_classifier_that_names_a_model_of_the_hub_says_so_and_fetches_nothing_offline(
    stranger, photos, tmp_path, quiet, monkeypatch
) -> None:
    folder = RobustClassifier(str(stranger), method="coop", **FAST).fit(photos).save(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config["settings"]["model"] = "somebody/else"
    (folder / "config.json").write_text(json.dumps(config))
    outcome = CliRunner().invoke(app, ["predict", str(folder), str(photos), "--offline"])
    assert isinstance(outcome.exception, ModelError)
    assert "it would be fetched from https://huggingface.co/somebody/else" in str(outcome.exception)
