"""Jobs as tasks of a Ray cluster. The result of a job does not depend on the machine on which it runs."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Protocol, TypeVar

from srrs.errors import MissingExtraError, SettingsError, SrrsError

Job = TypeVar("Job")
"""A job: any value that can be pickled."""
Result = TypeVar("Result")
"""The result of a job, which can be pickled."""
IN_FLIGHT = 1_000
"""Largest number of tasks that are submitted to the cluster at a time."""
RETRIES = 3
"""Number of times that a task is started again if its worker process or its node is lost."""


class Spread(Protocol):
    """A function that runs jobs in other processes, such as those of a cluster."""

    def __call__(
        self, function: Callable[[Job], Result], jobs: Sequence[Job], *, gpu: bool = False
    ) -> Iterator[tuple[int, Result]]:
        """Call `function` with each job. Yield the position and the result of each job when it finishes.

        `function` must be defined at the top level of a module. With `gpu`, each call gets a GPU. Raises the SrrsError
        of a job that fails, and SrrsError if a task is lost too often.
        """
        ...


@contextmanager
def on_ray(address: str | None) -> Iterator[Spread | None]:
    """Within this block, the value is a `Spread` that runs jobs on a Ray cluster; None without an address.

    All nodes of the cluster must have access to the same folders. The address `local` starts a cluster on this machine.

    Raises
    ------
    MissingExtraError
        Ray is not installed.
    SettingsError
        There is no cluster at the address.
    """
    if address is None:
        yield None
        return
    try:
        import ray
    except ImportError:
        raise MissingExtraError("ray", "ray", "Running on Ray") from None
    started = not ray.is_initialized()
    if started:
        environment = {"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}}
        try:
            ray.init(address, runtime_env=environment, log_to_driver=False)
        except (ConnectionError, ValueError) as error:
            raise SettingsError(f"Expected a Ray cluster at {address!r}, but cannot reach one: {error}.") from None
    try:
        yield _spread
    finally:
        if started:
            ray.shutdown()


def _spread(
    function: Callable[[Job], Result], jobs: Sequence[Job], *, gpu: bool = False
) -> Iterator[tuple[int, Result]]:
    """Run jobs on the Ray cluster to which this process is connected, see `Spread`."""
    import ray

    remote: Any = ray.remote(num_cpus=1, num_gpus=int(gpu), max_retries=RETRIES)(_attempt)
    left = iter(enumerate(jobs))
    waiting: dict[Any, int] = {}
    while True:
        for at, job in islice(left, IN_FLIGHT - len(waiting)):
            waiting[remote.remote(function, job)] = at
        if not waiting:
            return
        (reference, *_), _ = ray.wait(list(waiting))
        yield waiting.pop(reference), _got(reference)


def _got(reference: Any) -> Any:
    """Return the result of a finished task, or raise its error."""
    import ray

    try:
        result, error = ray.get(reference)
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError) as lost:
        raise SrrsError(
            f"Ray lost the worker of a task {RETRIES + 1} times: {str(lost).splitlines()[0]} Run the same command "
            "again: it continues where it stopped."
        ) from None
    if error is not None:
        raise error
    return result


def _attempt(function: Callable[[Job], Result], job: Job) -> tuple[Result | None, SrrsError | None]:
    """Return the result of a job and None, or None and the error that a user can correct.

    If the task raised the error, Ray would wrap it in another error with a traceback.
    """
    try:
        return function(job), None
    except SrrsError as error:
        return None, SrrsError(str(error))  # some subclasses cannot be unpickled
