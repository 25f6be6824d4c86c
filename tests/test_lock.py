"""A second run in an output folder is refused, and a killed one holds nothing."""

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from srrs.cli import app
from srrs.errors import DataError
from srrs.lock import only_run


def test_a_second_run_in_a_folder_is_told_who_holds_it(tmp_path: Path) -> None:
    with only_run(tmp_path / "out"):
        with pytest.raises(DataError) as caught, only_run(tmp_path / "out"):
            pass
        with only_run(tmp_path / "out", "-1-of-2"), only_run(tmp_path / "other"):
            pass
    assert str(caught.value) == (
        f"Another run writes to {tmp_path / 'out'} (process {os.getpid()} on {platform.node()}). Wait until it ends, "
        "or choose another folder."
    )
    with only_run(tmp_path / "out"):
        pass
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("command", ["demo", "audit nothing-here", "fit nothing-here", "embed nothing-here"])
def test_a_command_is_refused_before_it_reads_anything(command: str, tmp_path: Path) -> None:
    with only_run(tmp_path):
        outcome = CliRunner().invoke(app, [*command.split(), "--out", str(tmp_path)])
    assert isinstance(outcome.exception, DataError)
    assert str(outcome.exception).startswith(f"Another run writes to {tmp_path}")


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_the_lock_of_a_killed_run_is_free(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from srrs.lock import only_run\n"
        "with only_run(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DataError, match=f"process {holder.pid} on"), only_run(tmp_path):
            pass
        os.kill(holder.pid, signal.SIGKILL)
    with only_run(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(DataError, match=r"Cannot write to .*out: File exists"), only_run(tmp_path / "out"):
        pass
