"""Where the runs of a grid are computed: in this process, in several on this machine, or on a Ray cluster."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

from srrs.bench.records import Record
from srrs.bench.run import Run, execute
from srrs.errors import MissingExtraError, SrrsError

Finished = tuple[Run, Record | SrrsError]
"""A run with its result, or with an error that the user can fix."""
QUIET = "ignore:resource_tracker:UserWarning"
"""Filter for a remark of Python's resource tracker on semaphores, which it cleans up itself after a kill."""


def here(runs: Sequence[Run]) -> Iterator[Finished]:
    """Compute one run after the other in this process."""
    for run in runs:
        yield run, attempt(run)


def processes(runs: Sequence[Run], count: int) -> Iterator[Finished]:
    """Compute `count` runs at a time, each in its own process. The processes end with this generator."""
    pool = workers(count)
    try:
        futures = {pool.submit(attempt, run): run for run in runs}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BaseException:  # an interruption does not wait for the runs at hand: their checkpoints are whole
        end(pool)
        raise
    pool.shutdown()


def workers(count: int) -> ProcessPoolExecutor:
    """Processes that take work from this one, and end with it, also where it is killed."""
    if QUIET not in sys.warnoptions:
        sys.warnoptions.append(QUIET)  # handed on to the tracker, which starts with the first worker
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, mp_context=spawn, initializer=_end_with_parent)


def end(pool: ProcessPoolExecutor) -> None:
    """End the processes of a pool at once."""
    running = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in running:
        process.terminate()
    for process in running:
        process.join()


def _end_with_parent() -> None:
    """A worker holds both ends of its queue, so that without a parent it would wait for work for ever.

    An interruption by the keyboard reaches the workers too; it is left to the parent, which ends them.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def on_ray(runs: Sequence[Run], address: str) -> Iterator[Finished]:
    """Compute runs as tasks of a Ray cluster whose nodes see the same folders; `local` starts one on this machine.

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
        remote: Any = ray.remote(num_cpus=1, max_retries=3)(attempt)
        waiting = {remote.remote(run): run for run in runs}
        while waiting:
            done, _ = ray.wait(list(waiting))
            for reference in done:
                yield waiting.pop(reference), ray.get(reference)
    finally:
        if started:
            ray.shutdown()


def attempt(run: Run) -> Record | SrrsError:
    """The run's result, or its error if a user can fix it: one bad run does not end a grid."""
    try:
        return execute(run)
    except SrrsError as error:
        return SrrsError(str(error))  # one that every process can read back
