"""The state of a run on disk: everything the next step depends on, so that a killed run goes on to the same bits."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

PARTS = ("learners", "optimiser", "memory", "lesson")


@dataclass(frozen=True)
class State:
    """Where a run stands before the step `step`; each part is a flat mapping of tensors."""

    step: int
    learners: Mapping[str, Tensor]
    optimiser: Mapping[str, Tensor]
    memory: Mapping[str, Tensor]
    """What the stages remember."""
    lesson: Mapping[str, Tensor]
    """What the last screening decided: soft, weight and is_match; empty before the first."""
    history: list[dict[str, object]]
    """What each screening so far left for later, as JSON."""


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's state as flat names, `<parameter>/<name>`."""
    state = optimiser.state_dict()["state"]
    return {
        f"{p}/{name}": value for p, values in state.items() for name, value in values.items() if torch.is_tensor(value)
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimiser_tensors` took."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        parameter, name = key.split("/", 1)
        state.setdefault(int(parameter), {})[name] = value.clone()
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def tensors_of(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Arrays as tensors, copied."""
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


def arrays_of(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Tensors as arrays."""
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def save(state: State, path: Path, fingerprint: str) -> None:
    """Write the state in one atomic step. `fingerprint` names the run it belongs to."""
    tensors = {
        f"{part}/{name}": tensor.detach().cpu().clone().contiguous()
        for part in PARTS
        for name, tensor in getattr(state, part).items()
    }
    tensors["history"] = torch.frombuffer(bytearray(json.dumps(state.history).encode()), dtype=torch.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    save_file(tensors, partial, metadata={"run": json.dumps({"step": state.step, "fingerprint": fingerprint})})
    os.replace(partial, path)


def load(path: Path, fingerprint: str) -> State | None:
    """The state saved for this run, or None where there is none or it belongs to another run."""
    if not path.exists():
        return None
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in PARTS}
    with safe_open(path, "pt") as file:
        run = json.loads((file.metadata() or {}).get("run", "{}"))
        if run.get("fingerprint") != fingerprint:
            return None
        history = json.loads(bytes(file.get_tensor("history").numpy()))
        for key in set(file.keys()) - {"history"}:
            part, name = key.split("/", 1)
            parts[part][name] = file.get_tensor(key)
    return State(run["step"], **parts, history=history)
