"""The demo from a built wheel, away from the repository: what a new user runs first."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder that one run of the demo wrote, and the JSON it printed."""
    work = tmp_path_factory.mktemp("wheel")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(work),
        str(ROOT),
    ]
    subprocess.run(build, check=True, capture_output=True)
    with zipfile.ZipFile(next(work.glob("srrs-*.whl"))) as wheel:
        wheel.extractall(work / "site")
    environment = {**os.environ, "PYTHONPATH": str(work / "site"), "SRRS_CACHE": str(work / "cache"), "HOME": str(work)}
    where = subprocess.run(
        [sys.executable, "-c", "import srrs; print(srrs.__file__)"],
        cwd=work, env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(work / "site"))
    command = [sys.executable, "-m", "srrs", "demo", "--noise", "pair:0.5", "--seeds", "1", "--out", "out", "--json"]
    run = subprocess.run(command, cwd=work, env=environment, check=True, capture_output=True, text=True)
    return work / "out", json.loads(run.stdout)


def test_the_demo_writes_what_it_prints(demo: tuple[Path, dict[str, Any]]) -> None:
    out, printed = demo
    assert json.loads((out / "result.json").read_text()) == printed
    assert printed["noise"] == {"kind": "pair", "rate": 0.5, "protocol": "label-flip"}


def test_with_half_of_the_labels_swapped_srrs_beats_plain_prompt_learning(demo: tuple[Path, dict[str, Any]]) -> None:
    _, result = demo
    assert result["srrs"] > result["coop"] + 0.05
    assert result["rectified_noise"] < 0.5
    assert result["audit"]["auroc"] > 0.8


def test_the_audit_of_the_demo_has_a_row_per_photograph_and_names_classes(demo: tuple[Path, dict[str, Any]]) -> None:
    out, _ = demo
    table = pd.read_csv(out / "audit.csv")
    assert len(table) == 320
    assert {"windsor chair", "cougar face"} <= set(table["given"])
    assert table["quality"].between(0, 1).all()
    page = (out / "report.html").read_text()
    assert page.count('"UklGR') >= 320  # how every WebP begins in base64
    assert len(page) < 4_000_000
