"""The benchmarks run as their page shows, with the bundled models."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "speed.md"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), *arguments, "--threads", "1"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_quick_step_says_how_much_faster_ours_is_and_that_it_gives_the_same(tmp_path: Path) -> None:
    done = run("step", "--quick", "--json", str(tmp_path / "step.json"))
    assert done.returncode == 0, done.stderr
    table = json.loads((tmp_path / "step.json").read_text())
    assert set(table.pop("machine")) == {"cpu", "threads", "gpu", "torch", "date"}
    assert {"fp32, shared context", "bf16, shared context"} <= set(table)
    for case, row in table.items():
        assert row["ratio"] > 0
        assert row["ratio"] == pytest.approx(row["published_s"] / row["ours_s"])
        assert set(row) == set(table["fp32, shared context"])
        limit = 1e-4 if case.startswith("fp32") else 0.1
        assert row["max_rel_diff_logits"] <= limit
        assert row["max_rel_diff_ctx_grad"] <= limit


def test_without_a_gpu_its_table_says_so_and_a_page_takes_it(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Speed\n<!-- begin gpu -->\nold\n<!-- end gpu -->\nkept\n")
    done = run("gpu", "--quick", "--markdown", str(page))
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert "old" not in text
    assert text.endswith("<!-- end gpu -->\nkept\n")
    assert "`python benchmarks/run.py gpu --quick`. CPU: " in text
    assert "; threads: 1; GPU: none; torch: " in text
    assert "Not measured: bundled." in text


def test_a_page_without_a_place_for_the_table_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing")
    done = run("memory", "--markdown", str(page))
    assert done.returncode == 1
    assert "Expected <!-- begin memory --> and <!-- end memory --> in" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_run", ROOT / "benchmarks" / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(ROOT / "benchmarks"))
    spec.loader.exec_module(module)
    sys.path.remove(str(ROOT / "benchmarks"))
    return module


def test_a_table_with_few_cases_has_a_line_per_column_with_its_title_and_names_what_was_not_measured(runner) -> None:
    table = {
        "fp32": {"ours_s": 0.12345, "published_s": 2000.0, "verdicts_equal": True},
        "bf16": dict.fromkeys(("ours_s", "published_s", "verdicts_equal"), "not measured"),
    }
    assert runner.markdown(table, "Caption.").splitlines() == [
        "Caption.", "",
        "|  | fp32 |",
        "| --- | ---: |",
        "| package (s) | 0.123 |",
        "| published (s) | 2000 |",
        "| same results on the checked slice | yes |", "",
        "Not measured: bf16.",
    ]  # fmt: skip


def test_a_table_with_many_cases_has_a_line_per_case(runner) -> None:
    table = {case: {"ours_s": 1.0, "model": "bundled"} for case in ("one", "two", "three")}
    assert "| two | 1 | bundled |" in runner.markdown(table, "Caption.").splitlines()


def test_every_module_can_be_imported() -> None:
    names = ", ".join(path.stem for path in (ROOT / "benchmarks").glob("*.py"))
    command = [sys.executable, "-c", f"import {names}"]
    done = subprocess.run(command, cwd=ROOT / "benchmarks", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_page_has_a_place_for_every_benchmark() -> None:
    done = run("--help")
    (names,) = re.findall(r"\{(step[^}]*)\}", done.stdout)[:1]
    assert names.split(",") == re.findall(r"<!-- begin (\w+) -->", PAGE.read_text())
    assert names.split(",") == re.findall(r"<!-- end (\w+) -->", PAGE.read_text())
