"""Jobs side by side in processes: results in order, and no process left behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import jobs_for_parallel as jobs
from srrs.parallel import cores, side_by_side


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pids: list[int], seconds: float = 120) -> bool:
    """Whether all of them end in time."""
    until = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(map(alive, pids))


def test_results_come_in_the_order_of_the_jobs_from_processes_with_one_thread() -> None:
    before = dict(os.environ)
    found = list(side_by_side(jobs.tell, [3, 1, 2, 0], 2, prepare=jobs.remember, arguments=["told"]))
    assert [job for job, *_ in found] == [3, 1, 2, 0]
    assert {(told, threads) for _, told, threads, _ in found} == {("told", "1")}
    assert os.getpid() not in {pid for *_, pid in found}
    assert dict(os.environ) == before
    assert cores() >= 1


@pytest.mark.parametrize("count", [1, None])
def test_a_single_job_stays_in_this_process(count: int | None) -> None:
    ((job, told, _, pid),) = side_by_side(jobs.tell, [5], count, prepare=jobs.remember, arguments=["here"])
    assert (job, told, pid) == (5, "here", os.getpid())


def test_an_error_is_raised_as_it_is_and_ends_the_processes() -> None:
    with pytest.raises(ValueError, match="job 1"):
        list(side_by_side(jobs.fail_at_one, [0, 1, 2], 2))
    assert gone([child.pid for child in multiprocessing.active_children() if child.pid])


def test_closing_the_iterator_ends_the_processes() -> None:
    running = side_by_side(jobs.first_quick, range(4), 2)
    next(running)
    pids = [child.pid for child in multiprocessing.active_children() if child.pid]
    assert len(pids) == 2
    running.close()
    assert gone(pids)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_one_that_started_it(how: signal.Signals) -> None:
    script = Path(jobs.__file__)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2
        parent.send_signal(how)
        assert parent.wait(120) != 0
    assert gone(pids)
