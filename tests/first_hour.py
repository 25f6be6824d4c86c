"""A stranger's first hour: install the wheel, run the demo, audit odd files, review, apply, undo, audit again.

`make first-hour` runs it; it is no part of `make test`, because it builds and installs a package. The tests depend on
each other in their order, as the commands of that hour do.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from chromium import PROGRAM, chromium
from oddities import NO_ROW, ODDITIES, add_duplicates, add_oddities

ROOT = Path(__file__).parents[1]
BUNDLED = Path(str(files("srrs") / "assets" / "photos" / "train"))
CLASSES = ("crab", "crayfish", "ferry", "ibis")
REVIEWED = 20


class Hour(NamedTuple):
    """A user's working folder and the environment that srrs is installed in."""

    folder: Path
    python: Path

    def run(self, *words: object, status: int = 0) -> str:
        """Run a program of the environment in the folder; return what it prints."""
        program = self.python.with_name(str(words[0]))
        home = {"HOME": str(self.folder), "SRRS_CACHE": str(self.folder / "cache"), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            [program, *map(str, words[1:])], cwd=self.folder, env={**os.environ, **home, "PYTHONPATH": ""},
            capture_output=True, text=True, errors="surrogateescape",
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr if status else done.stdout

    def srrs(self, *words: object, status: int = 0) -> str:
        """Run srrs; return its output, or its error where another status than 0 is expected."""
        return self.run("srrs", *words, status=status)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the source distribution and of the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def hour(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Hour:
    """A fresh environment with the wheel alone; its dependencies are those of the environment of the tests."""
    folder = tmp_path_factory.mktemp("hour")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    python = folder / "env" / "bin" / "python"
    (wheel,) = built.glob("*.whl")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    (site,) = (folder / "env").glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Hour(folder, python)


def contents(folder: Path) -> dict[str, bytes | str]:
    """Everything below a folder: the bytes of files, the targets of links, the kinds of other entries."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        kind = "folder" if path.is_dir() else path.read_bytes() if path.is_file() else "special"
        found[str(path.relative_to(folder))] = os.readlink(path) if path.is_symlink() else kind
    return found


def test_what_is_built_can_be_published_and_brings_its_assets(built: Path) -> None:
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *built.iterdir()], check=True)
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    packaged = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src" / "srrs").rglob("*") if path.is_file()}
    assert {name for name in packaged if "__pycache__" not in name} <= names
    assert wheel.stat().st_size < 30_000_000


def test_the_wheel_states_its_dependencies_and_answers(hour: Hour) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--python", str(hour.python), "check"], check=True)
    where = hour.run("python", "-c", "import srrs; print(srrs.__file__)")
    assert where.startswith(str(hour.folder))
    version = hour.run("python", "-c", "import importlib.metadata; print(importlib.metadata.version('srrs'))")
    assert hour.srrs("--version") == f"srrs {version}"
    assert "audit" in hour.srrs("--help")
    assert "complete" in hour.srrs("--show-completion", "bash")


def test_the_demo_shows_what_the_method_gains(hour: Hour) -> None:
    result = json.loads(hour.srrs("demo", "--noise", "pair:0.5", "--seeds", 1, "--out", "demo", "--json"))
    assert json.loads((hour.folder / "demo" / "result.json").read_text()) == result
    assert result["noise"] == {"kind": "pair", "rate": 0.5, "protocol": "label-flip"}
    assert result["srrs"] > result["coop"] + 0.05
    assert result["rectified_noise"] < 0.5
    assert result["audit"]["auroc"] > 0.8
    table = pd.read_csv(hour.folder / "demo" / "audit.csv")
    assert len(table) == 320
    assert {"windsor chair", "cougar face"} <= set(table["given"])
    assert table["quality"].between(0, 1).all()
    page = (hour.folder / "demo" / "report.html").read_text()
    assert page.count('"UklGR') >= 320  # how every WebP begins in base64
    assert len(page) < 4_000_000


def test_a_folder_of_oddities_is_audited_and_every_file_accounted_for(hour: Hour) -> None:
    photos = hour.folder / "photos"
    for name in CLASSES:
        shutil.copytree(BUNDLED / name, photos / name)
    for at, path in enumerate(sorted((photos / "ferry").iterdir())[:6]):
        path.rename(photos / CLASSES[at % 2] / f"ferry-{at}.jpg")
    add_duplicates(min((photos / "ibis").iterdir()), photos / "ibis", photos / "crayfish")
    expected = add_oddities(photos / "crab")
    (photos / "nothing").mkdir()
    shutil.copy(BUNDLED / "crab" / "image_0005.jpg", photos / "loose.jpg")
    assert len(ODDITIES) + 5 >= 40

    hour.srrs("audit", "photos", "--model", "bundled", "--out", "audit", "--budget", REVIEWED)

    audit = json.loads((hour.folder / "audit" / "audit.json").read_text())
    issues = {row["id"]: row["issue"] or "" for row in audit["rows"]}
    for name, issue in expected.items():
        found = issues.get(f"crab/{name}")
        assert (found is None) if issue is NO_ROW else (found is not None and found.startswith(issue)), name
        assert bool(found) == bool(issue), name
    flags = {row["id"]: row["flags"] or "" for row in audit["rows"]}
    assert flags["ibis/copy.jpg"].startswith("duplicate of")
    assert "(labeled ibis)" in flags["crayfish/copy.jpg"]
    assert "near-duplicate" in flags["ibis/compressed-again.jpg"]
    notes = " ".join(finding["text"] for finding in audit["findings"])
    for left_out in (
        "Hidden files were left out: 1",
        "1 .db, 1 .txt",
        "nothing",
        "outside the class folders, were left out: 1",
    ):
        assert left_out in notes


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("2024-01-05/cat", "2024-01-05/dog", "2024-02-11/cat", "2024-02-11/dog"), "the first folders are dates"),
        (("all/cat", "all/dog"), "give photos/all"),
        (("Dog", "dog"), "--merge-case"),
        (("cat",), "at least two classes"),
    ],
)
def test_classes_on_another_level_or_spelled_twice_are_one_sentence(
    hour: Hour, tmp_path: Path, folders: tuple[str, ...], message: str
) -> None:
    for folder in folders:
        shutil.copytree(BUNDLED / "crab", tmp_path / "photos" / folder)
    error = hour._replace(folder=tmp_path).srrs("audit", "photos", "--out", "audit", status=2)
    assert message in " ".join(error.split())


@pytest.mark.skipif(PROGRAM is None and os.environ.get("SRRS_TEST_BROWSER") != "required", reason="needs chromium")
def test_twenty_images_are_reviewed_by_keyboard_from_load_and_applied_and_undone(hour: Hour) -> None:
    photos, decided = hour.folder / "photos", {}
    with chromium(hour.folder / "profile") as browser:
        tab = browser.open(hour.folder / "audit" / "report.html")
        data = tab.run("JSON.parse(document.getElementById('data').textContent)")
        ids, suggested = data["columns"]["id"], data["columns"]["suggested"]
        for id, at in zip(ids[:REVIEWED], suggested[:REVIEWED], strict=True):
            label = id.split("/")[0]
            shows = "ferry" if "ferry-" in id else label
            if shows == label:
                tab.press("k")
            elif data["classes"][at] == shows:
                tab.press("a")
            else:
                tab.press("c")
                tab.type(shows)
                tab.press("Enter")
            decided[id] = shows
            # a person types slower than the page draws
            tab.wait(f"document.querySelector('#progress').textContent.startsWith('{len(decided)} of {REVIEWED} ')")
        assert f"{REVIEWED} of {REVIEWED}" in tab.text("#progress")
        tab.download("#download", hour.folder, "decisions.csv")
        assert tab.errors() == []
        assert tab.run("document.title") != "owned"

    before = contents(photos)
    command = ("apply", "audit", "--decisions", "decisions.csv", "--in-place")
    hour.srrs(*command)
    assert contents(photos) == before
    done = json.loads(hour.srrs(*command, "--yes", "--json"))
    moved = {id for id, label in decided.items() if id.split("/")[0] != label}
    assert done["counts"]["relabel"] == len(moved) > 0
    after = contents(photos)
    assert set(before) - set(after) == moved
    assert {Path(name).parts[0] for name in set(after) - set(before)} == {"ferry"}
    hour.srrs("undo", done["undo"])
    assert contents(photos) == before


def test_an_audit_with_the_decisions_takes_them_as_certain(hour: Hour) -> None:
    hour.srrs("audit", "photos", "--model", "bundled", "--out", "again", "--trusted", "decisions.csv")
    table = pd.read_csv(hour.folder / "again" / "audit.csv")
    trusted = table[table["flags"].fillna("").str.contains("trusted")]
    decisions = pd.read_csv(hour.folder / "decisions.csv")
    assert len(decisions) == REVIEWED
    assert dict(zip(trusted["id"], trusted["suggested"], strict=True)) == dict(
        zip(decisions["id"], decisions["label"], strict=True)
    )
