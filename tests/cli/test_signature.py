"""Options that are made of the settings, files of settings, help, and shell completion."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer
import yaml
from typer.testing import CliRunner

from srrs.cli import app
from srrs.cli.options import Json
from srrs.cli.resolved import Chosen
from srrs.cli.signature import Takes, command
from srrs.config import AUDIT_VIEWS, FIT_VIEWS, flat_fields
from srrs.errors import DataError, SettingsError

CALLS: list[tuple[str | None, "Sizes", Chosen, bool]] = []


@dataclass(frozen=True)
class Sizes:
    width: Annotated[int, typer.Option(help="Pixels.")] = 3
    limit: Annotated[float | None, typer.Option(help="Zero is a value.")] = None
    folder: Annotated[Path | None, typer.Option(help="A folder.")] = None


def draw(
    source: Annotated[str | None, typer.Argument()] = None,
    *,
    sizes: Sizes,
    chosen: Annotated[Chosen, Takes("model", "views", "trust", views=4)],
    as_json: Json = False,
) -> None:
    """Draw."""
    CALLS.append((source, sizes, chosen, as_json))


def other() -> None:
    """Another command, so that the app has more than one."""


@pytest.fixture
def drawn():
    small = typer.Typer(rich_markup_mode=None)
    command(small)(draw)
    command(small)(other)
    CALLS.clear()

    def run(*words: object):
        outcome = CliRunner().invoke(small, ["draw", *map(str, words)], catch_exceptions=False)
        if outcome.exit_code:
            return outcome
        return CALLS.pop()

    return run


def test_options_of_records_and_settings_reach_the_function(drawn) -> None:
    source, sizes, chosen, as_json = drawn("x", "--width", 5, "--views", 2, "--set", "steps=7", "--json")
    assert (source, sizes, as_json) == ("x", Sizes(5), True)
    assert (chosen.settings.data.views, chosen.settings.schedule.steps) == (2, 7)
    assert drawn()[2].settings.data.views == 4
    assert drawn("--set", "views=none")[2].settings.data.views is None
    assert drawn("--set", "matcher=none")[2].settings.model.matcher == "none"


def test_a_file_gives_settings_by_topic_and_options_that_the_command_line_overrides(drawn, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("options: {source: there, width: 9}\nschedule: {steps: 5}\nviews: 1\nmodel: {name: bundled}\n")
    source, sizes, chosen, _ = drawn("--config", file)
    assert (source, sizes.width) == ("there", 9)
    assert (chosen.settings.schedule.steps, chosen.settings.data.views, chosen.settings.model.name) == (5, 1, "bundled")
    source, sizes, chosen, _ = drawn("here", "--width", 1, "--views", 0, "--set", "steps=6", "--config", file)
    assert (source, sizes.width, chosen.settings.data.views, chosen.settings.schedule.steps) == ("here", 1, 0, 6)


def test_what_is_written_gives_the_same_call_again_from_anywhere(drawn, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    words = (
        "photos",
        "--width",
        5,
        "--limit",
        0,
        "--folder",
        "photos",
        "--set",
        "steps=7",
        "--set",
        "learning_rate=0.1",
    )
    first = drawn(*words, "--trust", "labels", "--json")
    file = first[2].write(tmp_path, "draw")
    assert "srrs draw --config settings.yaml --out FOLDER" in file.read_text()
    monkeypatch.chdir("/")
    again = drawn("--config", file)
    assert again[0] == str(tmp_path / "photos")
    assert again[1] == Sizes(5, 0, tmp_path / "photos")
    assert again[2].settings == first[2].settings
    assert again[2].write(tmp_path / "photos", "draw").read_text() == file.read_text()


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("options: {widht: 3}", SettingsError, "srrs draw has no option 'widht'.*; did you mean width?"),
        ("options: {width: many}", SettingsError, "width: .*integer.*, but found 'many'"),
        ("options: {out: x}", SettingsError, "srrs draw has no option 'out'"),
        ("schedule: {step: 3}", SettingsError, "there is no setting 'step'; did you mean steps?"),
        ("steps: -1", SettingsError, "steps must be at least 0, but is -1"),
        ("- 1", DataError, "Expected settings by name in .*, but found list"),
        ("options: 3", DataError, "Expected a mapping under options"),
        ("a: [", DataError, "Expected YAML or JSON in"),
        ("seed: 2024-99-99", DataError, "Expected YAML or JSON in .*, but found: month must be in 1..12"),
        ("[" * 10_000, DataError, "Expected YAML or JSON in .*, but found: maximum recursion depth"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(drawn, tmp_path: Path, text: str, error, message: str) -> None:
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(error, match=message.replace("?", r"\?")):
        drawn("--config", tmp_path / "run.yaml")


def test_a_file_may_hold_options_of_other_commands_and_must_be_there(drawn, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"command": "audit", "options": {"budget": 3, "fail-above": 0.1}}')
    assert drawn("--config", tmp_path / "run.json")[1] == Sizes()
    with pytest.raises(DataError, match=r"a file of settings at .*none\.yaml, but it cannot be read: No such file"):
        drawn("--config", tmp_path / "none.yaml")
    with pytest.raises(DataError, match=r"a file of settings at /dev/zero, but it cannot be read: not a regular file"):
        drawn("--config", "/dev/zero")


def help_of(*words: str) -> str:
    outcome = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "500"})
    assert outcome.exit_code == 0
    return re.sub(r"\s+", " ", outcome.output)


@pytest.mark.parametrize(("verb", "views"), [("audit", AUDIT_VIEWS), ("fit", FIT_VIEWS)])
def test_help_shows_every_setting_with_its_default(verb: str, views: int) -> None:
    text = help_of(verb)
    for name, field in flat_fields().items():
        default = views if name == "views" else "none" if field.default is None else str(field.default)
        assert f"{name}={str(default).lower() if isinstance(field.default, bool) else default} " in text or (
            f"--{name} " in text and f"[default: {default}]" in text
        ), name
    assert "--set" in text
    assert "--max-minutes" in text
    assert "--minutes" not in text


def test_every_option_of_every_command_says_what_it_is() -> None:
    for verb in (
        "demo",
        "audit",
        "apply",
        "undo",
        "fit",
        "predict",
        "embed",
        "export",
        "bench",
        "table",
        "differences",
        "plot",
    ):
        lines = CliRunner().invoke(app, [verb, "--help"], env={"COLUMNS": "500"}).output.splitlines()
        options = [line for line in lines if line.strip().startswith("--")]
        assert options, verb
        bare = [line for line in options if not re.search(r"\s{2,}\S.*[a-z]", line.strip())]
        assert not bare, (verb, bare)


def test_the_version_is_told() -> None:
    outcome = CliRunner().invoke(app, ["--version"])
    assert outcome.output.startswith("srrs 0.")


@pytest.mark.parametrize(
    ("words", "found"), [("srrs au", "audit"), ("srrs audit --trust ", "labels"), ("srrs fit --ma", "--matcher")]
)
def test_a_shell_completes_commands_options_and_choices(words: str, found: str) -> None:
    environment = os.environ | {"_SRRS_COMPLETE": "complete_bash", "COMP_WORDS": words}
    environment["COMP_CWORD"] = str(len(words.split(" ")) - 1)
    script = "import sys; sys.argv = ['srrs']; from srrs.cli import main; main()"
    outcome = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert found in outcome.stdout, outcome


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("audit", "x", "--out", "y", "--lable", "z"), "--label"),
        (("audit", "x", "--out", "y", "--modle", "z"), "--model"),
    ],
)
def test_a_misspelled_option_is_answered_with_the_nearest(words: tuple[str, ...], hint: str) -> None:
    outcome = CliRunner().invoke(app, list(words))
    assert outcome.exit_code == 2
    assert hint in outcome.output


def test_a_run_can_be_repeated_from_its_settings(photos, clip_folder, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(photos.parent)
    words = ["audit", "photos", "--out", str(tmp_path / "a"), "--model", str(clip_folder), "--matcher", "none"]
    words += ["--method", "coop", "--views", "1", "--set", "steps=2", "--seed", "3", "--device", "cpu"]
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    written = yaml.safe_load((tmp_path / "a" / "settings.yaml").read_text())
    assert written["options"] == {"source": str(photos)}
    assert (written["data"]["views"], written["schedule"]["steps"], written["seed"]) == (1, 2, 3)
    monkeypatch.chdir(tmp_path)
    again = ["audit", "--config", "a/settings.yaml", "--out", "b"]
    assert CliRunner().invoke(app, again, catch_exceptions=False).exit_code == 0
    for name in ("audit.json", "settings.yaml"):
        first, second = ((tmp_path / run / name).read_text() for run in "ab")
        assert second.replace(str(photos), "photos") == first.replace(str(photos), "photos")
