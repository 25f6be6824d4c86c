"""Commands on a full disk: one sentence, nothing half-written, and a next run that ends as if nothing had happened."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from commands import run_srrs
from srrs import io

FAST = ("--matcher", "none", "--device", "cpu", "--set", "steps=3", "--views", "1")


@pytest.fixture
def srrs(monkeypatch, capsys):
    """Run `srrs`; return its status and what it says."""

    def run(*words: object) -> tuple[int, str]:
        status = run_srrs(monkeypatch, *words)
        return status, capsys.readouterr().err

    return run


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder; of result files, all but the durations."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["embed", "audit", "fit", "predict"])
def test_a_disk_that_fills_up_ends_in_a_sentence_and_the_next_run_as_if_it_had_not(
    name: str, srrs, photos, clip_folder, tmp_path: Path, monkeypatch
) -> None:
    model = ("--model", clip_folder)
    if name == "predict":
        assert srrs("fit", photos, "--out", tmp_path / "model", *model, *FAST)[0] == 0
    place, work = tmp_path / "place", tmp_path / "work"

    def command() -> tuple[int, str]:
        words = {
            "embed": ("embed", photos, "--out", "out", "--views", "1", *model),
            "audit": ("audit", photos, "--out", "out", *model, *FAST, "--method", "coop"),
            "fit": ("fit", photos, "--out", "out", *model, *FAST),
            "predict": ("predict", tmp_path / "model", photos, "--out", "out/p.csv"),
        }[name]
        return srrs(*words)

    def begin() -> None:
        monkeypatch.setenv("SRRS_CACHE", str(place / "cache"))
        place.mkdir()
        monkeypatch.chdir(place)

    begin()
    assert command()[0] == 0
    wanted = files(place / "out")
    place.rename(work)
    begin()
    fsync, writes = os.fsync, []

    def full_at(last: int):
        def write(descriptor: int) -> None:
            writes.append(descriptor)
            if len(writes) > last:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fsync(descriptor)

        return write

    for last in range(100):  # one write more succeeds in each run
        writes.clear()
        with monkeypatch.context() as patch:
            patch.setattr(io.os, "fsync", full_at(last))
            status, said = command()
        if status == 0:
            break
        assert status == 2, said
        assert said.strip().splitlines()[-1].startswith("srrs: Cannot write "), said
        assert "the disk is full. Free some space" in said
        assert not [path for path in place.rglob("*") if path.suffix in (".part", ".tmp")]
        found = files(place / "out")
        assert all(found[path] == wanted[path] for path in found.keys() & wanted.keys() if path != "history.jsonl")
    assert last >= {"predict": 1}.get(name, 3)
    assert files(place / "out") == wanted


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs /dev/full")
@pytest.mark.parametrize("word", ["--version", "--help"])
def test_what_is_printed_to_a_full_disk_ends_in_a_sentence(word: str) -> None:
    script = "import sys; sys.argv[0] = 'srrs'; from srrs.cli import main; main()"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", script, word], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        "srrs: Cannot write the output: the disk is full. Free some space, then run the same command again.\n"
    )


def test_an_audit_of_very_many_is_also_written_as_parquet(
    srrs, photos, clip_folder, tmp_path: Path, monkeypatch
) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    monkeypatch.setattr("srrs.core.blocks.is_large", lambda count: True)
    assert srrs("audit", photos, "--out", tmp_path / "out", "--model", clip_folder, *FAST)[0] == 0
    table = pandas.read_parquet(tmp_path / "out" / "audit.parquet")
    rows = json.loads((tmp_path / "out" / "audit.json").read_text())["rows"]
    assert table.id.tolist() == [row["id"] for row in rows]
    assert table.quality.tolist() == [row["quality"] for row in rows]
