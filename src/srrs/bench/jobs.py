"""Where the runs of a grid are computed: in this process, in several on this machine, or on a Ray cluster."""

import os
import sys
from collections.abc import Generator, Sequence
from concurrent.futures import as_completed
from typing import Any

from srrs.bench.records import Record
from srrs.bench.run import Run, execute
from srrs.errors import MissingExtraError, SrrsError
from srrs.parallel import workers

Finished = tuple[Run, Record | SrrsError]
"""A run with its result, or with an error that the user can fix."""


def here(runs: Sequence[Run]) -> Generator[Finished, None, None]:
    """Compute one run after the other in this process."""
    for run in runs:
        yield run, attempt(run)


def processes(runs: Sequence[Run], count: int) -> Generator[Finished, None, None]:
    """Compute `count` runs at a time, each in its own process. The processes end with this generator."""
    with workers(count) as pool:
        futures = {pool.submit(attempt, run): run for run in runs}
        for future in as_completed(futures):
            yield futures[future], future.result()


def on_ray(runs: Sequence[Run], address: str) -> Generator[Finished, None, None]:
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
