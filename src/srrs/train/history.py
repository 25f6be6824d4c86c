"""What each screening of a run decided, kept in files: a run of many screenings and samples does not hold them all."""

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from srrs.records import Floats, Ints, NoiseEstimate, Round


@dataclass(frozen=True)
class Snapshot:
    """One screening: N samples."""

    step: int
    noise: NoiseEstimate
    p_clean: Floats
    """(N,) float32."""
    group: Ints
    """(N,) int8, values of `Group`."""
    target: Ints
    """(N,) int32, the most probable class of each rectified label."""


class History:
    """The screenings of a run in order, one file each.

    Parameters
    ----------
    folder : where the files lie; None for a temporary folder that goes with the history.
    """

    def __init__(self, folder: Path | None = None):
        self._temporary = None if folder else tempfile.TemporaryDirectory(prefix="srrs-history-")
        self.folder = folder or Path(self._temporary.name)  # type: ignore[union-attr]
        self.folder.mkdir(parents=True, exist_ok=True)

    def add(self, step: int, outcome: Round) -> None:
        """Keep a screening, in the place of an earlier one of the same step."""
        noise = outcome.noise
        arrays = {
            "p_clean": np.asarray(outcome.partition.p_clean, np.float32),
            "group": np.asarray(outcome.partition.group, np.int8),
            "target": np.asarray(outcome.targets.hard, np.int32),
        }
        path = self.folder / f"screening-{step:06d}.safetensors"
        partial = path.with_suffix(".part")
        save_file(arrays, partial, metadata={"noise": json.dumps([noise.rate, noise.low, noise.high])})
        os.replace(partial, path)

    def clear(self) -> None:
        """Forget all screenings."""
        for path in self._files():
            path.unlink()

    def __len__(self) -> int:
        return len(self._files())

    def __iter__(self) -> Iterator[Snapshot]:
        for path in self._files():
            with safe_open(path, "np") as file:
                noise = NoiseEstimate(*json.loads(file.metadata()["noise"]))
                arrays = {name: file.get_tensor(name) for name in ("p_clean", "group", "target")}
            yield Snapshot(int(path.stem.removeprefix("screening-")), noise, **arrays)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("screening-*.safetensors"))
