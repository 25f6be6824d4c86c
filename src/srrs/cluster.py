"""Jobs as tasks of a Ray cluster. The result of a job does not depend on the machine on which it runs."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Protocol, TypeVar

from srrs.errors import MissingExtraError, SettingsError, SrrsError

Job = TypeVar("Job")
Result = TypeVar("Result")
IN_FLIGHT = 1_000
"""Largest number of tasks that the cluster gets at a time."""
RETRIES = 3
"""How often a task is started again if its worker or node is lost."""


class Spread(Protocol):
    """A function that runs jobs, in this process or on a cluster."""

    def __call__(
        self, function: Callable[[Job], Result], jobs: Sequence[Job], *, gpu: bool = False
    ) -> Iterator[tuple[int, Result]]:
        """Call `function` with each job. Yield the position and the result of each job when it finishes.

        `function` must be defined at the top level of a module. With `gpu`, each call gets a GPU.
        """
        ...


@contextmanager
def on_ray(address: str | None) -> Iterator[Spread | None]:
    """Connect to a Ray cluster, and give a `Spread` that runs jobs on it; None without an address.

    The nodes of the cluster must see the same folders. The address `local` starts a cluster on this machine.

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
    """Return the result, or the error that a user can fix: raised in a task, Ray would wrap it in a traceback."""
    try:
        return function(job), None
    except SrrsError as error:
        return None, SrrsError(str(error))  # one that every process can read back
