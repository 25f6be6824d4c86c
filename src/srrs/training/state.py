"""The state of a run on disk. It contains everything on which the next step depends.

Therefore a run that was killed and continues has the same result as an uninterrupted run.
"""

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from srrs import checksum
from srrs.io import save_tensors

PARTS = ("tuners", "optimizer", "memory", "lesson")
"""Fields of `State` that are saved as tensors."""
NAME = "state.safetensors"
"""Name of the file."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class State:
    """The state of a run before the step `step`. Each other field is a flat mapping from names to tensors."""

    step: int
    tuners: Mapping[str, Tensor]
    """Parameters and buffers of the tuners."""
    optimizer: Mapping[str, Tensor]
    """Result of `optimizer_tensors`."""
    memory: Mapping[str, Tensor]
    """The memory of the stages."""
    lesson: Mapping[str, Tensor]
    """The result of the last screening: soft, weight, group and is_match; empty before the first screening."""


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the state of an optimizer under flat names, `<number of the parameter>/<name>`."""
    state = optimizer.state_dict()["state"]
    return {
        f"{p}/{name}": value for p, values in state.items() for name, value in values.items() if torch.is_tensor(value)
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restore the state that `optimizer_tensors` returned."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        parameter, name = key.split("/", 1)
        state.setdefault(int(parameter), {})[name] = value.clone()
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def tensors_of(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Return copies of the arrays as tensors."""
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


def arrays_of(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Return the tensors as arrays."""
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def save(state: State, folder: Path, fingerprint: str) -> None:
    """Write the state into the folder of a run, completely or not at all.

    `fingerprint` identifies the run. Raises DataError if the folder cannot be written.
    """
    tensors = {
        f"{part}/{name}": tensor.detach().cpu().clone().contiguous()
        for part in PARTS
        for name, tensor in getattr(state, part).items()
    }
    run = {"run": json.dumps({"step": state.step, "fingerprint": fingerprint})}
    save_tensors(folder / NAME, tensors, run)


def load(folder: Path, fingerprint: str) -> State | None:
    """Return the saved state of the run with this fingerprint, or None if there is none.

    A state that is damaged or belongs to another run is ignored with a warning.
    """
    path = folder / NAME
    if not path.exists():
        return None
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in PARTS}
    try:
        for file_of_run in folder.glob("*.safetensors"):  # also the files of the screenings
            if not checksum.is_whole(file_of_run):
                raise ValueError(f"{file_of_run.name} is not as it was written")
        with safe_open(path, "pt") as file:
            run = json.loads((file.metadata() or {}).get("run", "{}"))
            if run.get("fingerprint") != fingerprint:
                _LOG.warning(
                    "The unfinished run in %s had other data, other settings or another version of the code: this run "
                    "starts from the beginning.", folder,
                )  # fmt: skip
                return None
            for key in file.keys():  # noqa: SIM118  no mapping
                part, name = key.split("/", 1)
                parts[part][name] = file.get_tensor(key)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        _LOG.warning("The unfinished run in %s is damaged (%s): this run starts from the beginning.", folder, error)
        return None
    return State(run["step"], **parts)


def discard(folder: Path) -> None:
    """Remove the state of a run that has ended."""
    shutil.rmtree(folder, ignore_errors=True)
