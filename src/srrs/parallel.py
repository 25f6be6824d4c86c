"""Independent jobs in parallel processes with one thread each.

The matrix products in a training step of a small model are too small to be divided among threads. Therefore, several
runs in parallel use the cores of a machine better than several threads of one run.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

Job = TypeVar("Job")
"""A job: any value that can be pickled."""
Result = TypeVar("Result")
"""The result of a job, which can be pickled."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Environment variables for the number of threads, which numeric libraries read when they are loaded."""
QUIET = "ignore:resource_tracker:UserWarning"
"""Filter for a warning of Python's resource tracker about semaphores that a killed process left. The tracker removes
them."""


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def side_by_side(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    processes: int | None = None,
    *,
    prepare: Callable[..., object] | None = None,
    arguments: Sequence[Any] = (),
) -> Generator[Result, None, None]:
    """Yield `function(job)` of each job, in the order of the jobs.

    The jobs run in new processes with one thread each. If one process is enough, they run in this process. The new
    processes end when the generator is closed, when it raises an exception, after Ctrl-C, and when this process is
    killed. Use the generator inside `contextlib.closing`. Otherwise, an exception in the caller between two results
    waits for the running jobs.

    Parameters
    ----------
    function : a function at the top level of a module.
    jobs : the arguments of the calls. Jobs and results are pickled.
    processes : number of processes; by default one per core, and at most one per job.
    prepare : called as `prepare(*arguments)` once in each process, before its first job.
    arguments : the arguments of `prepare`.

    Raises
    ------
    concurrent.futures.process.BrokenProcessPool
        A process was killed.
    Exception
        An exception of `function` is raised unchanged.
    """
    count = min(processes or cores(), len(jobs))
    if count < 2:
        if prepare is not None:
            prepare(*arguments)
        yield from map(function, jobs)
        return
    with workers(count, prepare, arguments) as pool:
        yield from (future.result() for future in [pool.submit(function, job) for job in jobs])


@contextmanager
def workers(
    count: int, prepare: Callable[..., object] | None = None, arguments: Sequence[Any] = ()
) -> Iterator[ProcessPoolExecutor]:
    """Within this block, the value is a pool of processes with one thread each.

    The processes end with the block, and if this process is killed.

    Parameters
    ----------
    count : number of processes.
    prepare : called as `prepare(*arguments)` once in each process, before its first job.
    arguments : the arguments of `prepare`.
    """
    if QUIET not in sys.warnoptions:
        sys.warnoptions.append(QUIET)  # the tracker, which starts with the first process, inherits the filters
    before = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, context, _begin, (prepare, tuple(arguments)))
    with _one_thread_each():
        for _ in range(count):  # the pool starts a process for each of the first submissions
            pool.submit(_nothing)
    try:
        yield pool
        pool.shutdown()
    except BaseException:  # also GeneratorExit, if a generator around this block is closed
        pool.shutdown(wait=False, cancel_futures=True)
        started = set(multiprocessing.active_children()) - before
        for child in started:
            child.terminate()
        for child in started:
            child.join()
        raise


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Within this block, new processes inherit an environment in which numeric libraries use one thread each."""
    wanted = {**dict.fromkeys(THREADS, "1"), "OMP_WAIT_POLICY": "PASSIVE"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _nothing() -> None:
    """Do nothing, as a job with which the pool starts a process."""


def _begin(prepare: Callable[..., object] | None, arguments: tuple[Any, ...]) -> None:
    """Prepare a new process of the pool."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; only the main process handles it
    _end_with_parent()
    if prepare is not None:
        prepare(*arguments)


def _end_with_parent() -> None:
    """End this process when its parent process has ended, even if the parent was killed.

    A worker process has both ends of its queue open. Without a parent, it would therefore wait for jobs forever.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
