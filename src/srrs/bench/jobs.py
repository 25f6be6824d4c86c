"""Functions that compute the runs of a grid: in this process, in several processes, or on a Ray cluster."""

from collections.abc import Generator, Sequence
from concurrent.futures import as_completed

from srrs import cluster
from srrs.bench.records import Record
from srrs.bench.run import Run, execute
from srrs.errors import SrrsError
from srrs.parallel import workers

Finished = tuple[Run, Record | SrrsError]
"""A run, and its result or an error that the user can correct."""


def here(runs: Sequence[Run]) -> Generator[Finished, None, None]:
    """Compute one run after the other in this process, and yield each when it has finished."""
    for run in runs:
        yield run, attempt(run)


def processes(runs: Sequence[Run], count: int) -> Generator[Finished, None, None]:
    """Compute `count` runs at a time, each in its own process, and yield each when it has finished.

    The processes end with this generator.
    """
    with workers(count) as pool:
        futures = {pool.submit(attempt, run): run for run in runs}
        for future in as_completed(futures):
            yield futures[future], future.result()


def on_ray(runs: Sequence[Run], address: str) -> Generator[Finished, None, None]:
    """Compute runs as tasks of a Ray cluster, see `srrs.cluster.on_ray`, and yield each when it has finished."""
    with cluster.on_ray(address) as spread:
        assert spread is not None
        for at, result in spread(attempt, runs):
            yield runs[at], result


def attempt(run: Run) -> Record | SrrsError:
    """Compute a run. Return its result, or an error that the user can correct, so that the other runs continue."""
    try:
        return execute(run)
    except SrrsError as error:
        return SrrsError(str(error))  # some subclasses cannot be unpickled
