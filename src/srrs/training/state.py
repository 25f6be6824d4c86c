"""The state of a run on disk: everything the next step depends on, so that a killed run goes on to the same bits."""

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from srrs.errors import DataError

PARTS = ("tuners", "optimizer", "memory", "lesson")
NAME = "state.safetensors"


@dataclass(frozen=True)
class State:
    """The state of a run before the step `step`; each part is a flat mapping of tensors."""

    step: int
    tuners: Mapping[str, Tensor]
    """Parameters and buffers by name."""
    optimizer: Mapping[str, Tensor]
    memory: Mapping[str, Tensor]
    """The memory of the stages."""
    lesson: Mapping[str, Tensor]
    """What the last screening decided: soft, weight, group and is_match; empty before the first."""


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the state of an optimizer under flat names, `<parameter>/<name>`."""
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
    """Arrays as tensors, copied."""
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


def arrays_of(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Tensors as arrays."""
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def save(state: State, folder: Path, fingerprint: str) -> None:
    """Write the state into the folder of a run, in one atomic step. `fingerprint` names the run it belongs to.

    Raises DataError where the folder cannot be written.
    """
    tensors = {
        f"{part}/{name}": tensor.detach().cpu().clone().contiguous()
        for part in PARTS
        for name, tensor in getattr(state, part).items()
    }
    path = folder / NAME
    partial = path.with_suffix(".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, partial, metadata={"run": json.dumps({"step": state.step, "fingerprint": fingerprint})})
        os.replace(partial, path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            partial.unlink()
        raise DataError(f"Expected to write the state of the run to {folder}, but could not: {error}.") from None


def load(folder: Path, fingerprint: str) -> State | None:
    """The state saved for this run, or None where there is none, it is damaged, or it belongs to another run."""
    path = folder / NAME
    if not path.exists():
        return None
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in PARTS}
    try:
        with safe_open(path, "pt") as file:
            run = json.loads((file.metadata() or {}).get("run", "{}"))
            if run.get("fingerprint") != fingerprint:
                return None
            for key in file.keys():  # noqa: SIM118  no mapping
                part, name = key.split("/", 1)
                parts[part][name] = file.get_tensor(key)
    except (SafetensorError, ValueError, KeyError):
        return None
    return State(run["step"], **parts)


def discard(folder: Path) -> None:
    """Remove the state of a run that has ended."""
    shutil.rmtree(folder, ignore_errors=True)
