"""Listeners that record a run: a JSONL history, and on request TensorBoard, Weights & Biases or MLflow.

A tracker of another package is a context manager whose value is a listener. It is opened before the run, so that a
missing package is reported at once. It is closed when the run ends, is interrupted or fails.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from srrs.errors import DataError, MissingExtraError, SettingsError, SrrsError
from srrs.io import cause, write_atomic
from srrs.records import Group
from srrs.training.events import Event, Listener

NAME = "srrs"
"""Default project of Weights & Biases, and name of the experiment in MLflow."""


def figures(event: Event) -> dict[str, float]:
    """Return the numbers of an event: the loss of a step, or the estimated noise and group shares of a screening."""
    if event.round is None:
        return dict(event.values)
    noise, group = event.round.noise, np.asarray(event.round.partition.group)
    shares = {member.name.lower(): float((group == member).mean()) for member in Group}
    return event.values | {"noise_low": noise.low, "noise_high": noise.high} | shares


@contextmanager
def tracking(
    targets: Sequence[str], settings: Mapping[str, Any], history: Path | None = None
) -> Iterator[list[Listener]]:
    """Within this block, the listeners of a run are open. The value of the context is their list.

    Parameters
    ----------
    targets : texts of the form `tensorboard:FOLDER`, `wandb:PROJECT` or `mlflow:URI`; the part after the colon is
        optional.
    settings : the settings of the run, which trackers store together with its numbers.
    history : a JSONL file with a line per event; None for no history.

    Raises
    ------
    SettingsError
        A target does not name a tracker, or a tracker fails.
    MissingExtraError
        The package of a tracker is not installed.
    DataError
        The history cannot be written.
    """
    trackers = {target: _tracker(target, settings) for target in targets}
    with ExitStack() as stack:
        listeners = [jsonl(history)] if history else []
        for target, tracker in trackers.items():
            with _told(target):
                listeners.append(_guarded(stack.enter_context(tracker), target))
        yield listeners


def _guarded(listener: Listener, target: str) -> Listener:
    """Return the listener with errors as in `_told`."""

    def listen(event: Event) -> None:
        with _told(target):
            listener(event)

    return listen


@contextmanager
def _told(target: str) -> Iterator[None]:
    """Within this block, any error of a tracker becomes a SettingsError with a sentence for the user."""
    try:
        yield
    except SrrsError:
        raise
    except Exception as error:  # the errors of the packages have no common base class
        words = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SettingsError(
            f"The tracker {target!r} does not work: {words} Mend it, or run the same command without --track: it goes "
            "on where it stopped."
        ) from error


def _tracker(target: str, settings: Mapping[str, Any]) -> AbstractContextManager[Listener]:
    """Return the tracker that a target names. Raises SettingsError for an unknown name."""
    trackers: dict[str, Callable[[str, Mapping[str, Any]], AbstractContextManager[Listener]]] = {
        "tensorboard": tensorboard, "wandb": wandb, "mlflow": mlflow,
    }  # fmt: skip
    name, _, where = target.partition(":")
    if name not in trackers:
        raise SettingsError(f"expected a tracker, {', '.join(trackers)} or tensorboard:FOLDER, but found {target!r}")
    return trackers[name](where, settings)


def jsonl(path: Path) -> Listener:
    """Return a listener that writes a line of JSON for each event: `kind`, `step`, `steps` and its numbers.

    If a run continues from a checkpoint, the lines before its first step are kept. Any other run begins a new file. The
    listener raises DataError if the file cannot be written.
    """
    started = False

    def listen(event: Event) -> None:
        nonlocal started
        line = {"kind": event.kind, "step": event.step, "steps": event.steps, **_finite(figures(event))}
        try:
            if not started:
                write_atomic(path, _before(event, path))
                started = True
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise DataError(f"Cannot write {path}: {cause(error)}") from None

    return listen


def _before(event: Event, path: Path) -> bytes:
    """Return the lines of an earlier history that come before this event."""
    if event.step <= 1 or not path.is_file():
        return b""
    kept = []
    for line in path.read_bytes().splitlines():
        try:
            if _place(**json.loads(line)) < _place(event.kind, event.step):
                kept.append(line + b"\n")
        except (ValueError, TypeError):  # the line is cut off, or srrs did not write it
            continue
    return b"".join(kept)


def _place(kind: str, step: int, **_: Any) -> tuple[int, int]:
    """Return the place of an event in a run, for comparisons. A screening comes after the step of its number."""
    return step, ("step", "screening", "end").index(kind)


@contextmanager
def tensorboard(where: str, settings: Mapping[str, Any]) -> Iterator[Listener]:
    """Write scalars into the folder `where` for TensorBoard, by default `tensorboard`.

    Raises MissingExtraError if tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingExtraError("tensorboard", "tensorboard", "The tracker tensorboard") from None
    writer: Any = SummaryWriter(where or "tensorboard")
    writer.add_text("settings", f"```json\n{json.dumps(dict(settings), indent=1)}\n```")

    def listen(event: Event) -> None:
        for name, value in figures(event).items():
            writer.add_scalar(name, value, event.step)
        writer.flush()

    try:
        yield listen
    finally:
        writer.close()


@contextmanager
def wandb(where: str, settings: Mapping[str, Any]) -> Iterator[Listener]:
    """Send events to a run of Weights & Biases in the project `where`, on the server in the settings of wandb.

    Raises MissingExtraError if wandb is not installed.
    """
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # no error reports to the makers of wandb
    try:
        import wandb as client
    except ImportError:
        raise MissingExtraError("wandb", "wandb", "The tracker wandb") from None
    run: Any = client.init(project=where or NAME, config=dict(settings))

    def listen(event: Event) -> None:
        if values := figures(event):
            run.log(values, step=event.step)

    failed = 1
    try:
        yield listen
        failed = 0
    finally:
        run.finish(exit_code=failed)


@contextmanager
def mlflow(where: str, settings: Mapping[str, Any]) -> Iterator[Listener]:
    """Send events to the experiment `srrs` of MLflow at the tracking URI `where`, by default MLFLOW_TRACKING_URI.

    Raises MissingExtraError if mlflow is not installed.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # MLflow would report its use from its import on
    try:
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise MissingExtraError("mlflow-skinny", "mlflow", "The tracker mlflow") from None
    client: Any = MlflowClient(tracking_uri=where or None)
    found = client.get_experiment_by_name(NAME)
    run = client.create_run(found.experiment_id if found else client.create_experiment(NAME)).info.run_id
    for name, value in settings.items():
        client.log_param(run, name, value)

    def listen(event: Event) -> None:
        for name, value in figures(event).items():
            client.log_metric(run, name, value, step=event.step)

    status = "FAILED"
    try:
        yield listen
        status = "FINISHED"
    finally:
        client.set_terminated(run, status)


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    """Return the values with None in place of numbers that are not finite, which JSON cannot hold."""
    return {name: value if np.isfinite(value) else None for name, value in values.items()}
