"""The commands of the README run, on the bundled photographs and with the bundled model."""

import json
import re
import shutil
from importlib.resources import files
from pathlib import Path

import pytest
from typer.testing import CliRunner

from srrs.cli import app

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
README = (ROOT / "README.md").read_text()
COMMANDS = [line.split("#")[0].split() for line in re.findall(r"^srrs .*$", README, re.MULTILINE)]
QUICK = {
    "audit": ["--model", "bundled", "--set", "steps=2", "--set", "views=1"],
    "fit": ["--model", "bundled", "--set", "steps=2", "--set", "views=1"],
    "embed": ["--model", "bundled"],
    "predict": [],
    "apply": [],
    "bench": ["--model", "bundled", "--set", "steps=2", "--set", "views=1"],
    "table": [],
    "plot": [],
    "compare": [],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's working folder: `photos/`, `held/`, `inbox/`, and `data/` with a data set, as in the README."""
    work = tmp_path_factory.mktemp("readme")
    bundled = Path(str(files("srrs") / "assets" / "photos"))
    for name in ("crab", "crayfish", "ferry"):
        for part, target in (("train", "photos"), ("test", "held")):
            shutil.copytree(bundled / part / name, work / target / name)
        shutil.copytree(bundled / "test" / name, work / "inbox", dirs_exist_ok=True)
    _caltech(work / "data" / "caltech101", work)
    looked_at = next((work / "photos" / "crab").iterdir()).name
    (work / "decisions.csv").write_text(f"id,action,label\ncrab/{looked_at},keep,crab\n")
    return work


def _caltech(root: Path, work: Path) -> None:
    split: dict[str, list[tuple[str, int, str]]] = {"train": [], "val": [], "test": []}
    for part, source in (("train", "photos"), ("test", "held")):
        for label, name in enumerate(("crab", "crayfish", "ferry")):
            shutil.copytree(work / source / name, root / "101_ObjectCategories" / name, dirs_exist_ok=True)
            split[part] += [(f"{name}/{p.name}", label, name) for p in sorted((work / source / name).iterdir())]
    split["val"] = split["test"]
    (root / "split_zhou_Caltech101.json").write_text(json.dumps(split))


def test_the_commands_of_the_readme_run_in_its_order(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SRRS_CACHE", str(tmp_path))
    ran = []
    for command in COMMANDS:
        verb = command[1]
        if verb in QUICK:
            outcome = CliRunner().invoke(app, command[1:] + QUICK[verb], catch_exceptions=False)
            too_noisy = "--fail-above" in command and "above the limit" in outcome.output
            assert outcome.exit_code == int(too_noisy), f"{' '.join(command)}: {outcome.output}"
            ran.append(verb)
    assert set(ran) == set(QUICK)
    assert (folder / "audit" / "report.html").exists()
    assert (folder / "predictions.csv").exists()
    assert (folder / "figures" / "accuracy.svg").exists()
    assert not (folder / "cleaned").exists()  # a dry run


def test_the_readme_names_the_commands_that_the_make_file_has() -> None:
    targets = (Path(__file__).parents[1] / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", targets, re.MULTILINE)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md", *(f"docs/{p.name}" for p in PAGES)])
def test_every_link_between_pages_leads_to_a_file_and_a_heading(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", text):
        name, _, heading = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), target
        if heading and path.suffix == ".md":
            titles = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            plain = [re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles]
            assert heading in plain, target
