"""Where the runs of a grid are computed: in this process, in several on this machine, or on a Ray cluster."""

import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from typing import Any

from srrs.bench.records import Record
from srrs.bench.run import Run, execute
from srrs.errors import MissingExtraError, SrrsError

Outcome = tuple[Run, Record | SrrsError]
"""A run with its result, or with what the user can mend."""


def here(runs: Sequence[Run], threads: int | None) -> Iterator[Outcome]:
    """One after the other, in this process."""
    for run in runs:
        yield run, attempt(run, threads)


def processes(runs: Sequence[Run], count: int, threads: int) -> Iterator[Outcome]:
    """`count` at a time, each in a process of its own with `threads` of torch."""
    pool = workers(count)
    try:
        futures = {pool.submit(partial(attempt, threads=threads), run): run for run in runs}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def workers(count: int) -> ProcessPoolExecutor:
    """Processes that take work from this one, and end with it, also where it is killed."""
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, mp_context=spawn, initializer=_end_with_parent)


def _end_with_parent() -> None:
    """A worker holds both ends of its queue, so that without a parent it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def on_ray(runs: Sequence[Run], address: str, threads: int) -> Iterator[Outcome]:
    """As tasks of a Ray cluster whose nodes see the same folders; `local` starts one on this machine.

    Raises MissingExtraError where Ray is not installed.
    """
    try:
        import ray
    except ImportError:
        raise MissingExtraError("ray", "ray", "Running on Ray") from None
    environment = {"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}}
    started = not ray.is_initialized()
    if started:
        ray.init(None if address == "local" else address, runtime_env=environment, log_to_driver=False)
    try:
        remote: Any = ray.remote(num_cpus=threads, max_retries=3)(attempt)
        waiting = {remote.remote(run, threads): run for run in runs}
        while waiting:
            done, _ = ray.wait(list(waiting))
            for reference in done:
                yield waiting.pop(reference), ray.get(reference)
    finally:
        if started:
            ray.shutdown()


def attempt(run: Run, threads: int | None = None) -> Record | SrrsError:
    """The run's result, or its error where that is one a user can mend: one bad run does not end a grid."""
    try:
        return execute(run, threads)
    except SrrsError as error:
        return SrrsError(str(error))  # one that every process can read back
