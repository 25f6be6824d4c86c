"""The results of the screenings of a run, in files, so that memory does not grow with the number of screenings."""

import json
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open

from srrs.io import save_tensors
from srrs.records import Floats, Ints, NoiseEstimate, Round


@dataclass(frozen=True)
class Snapshot:
    """The result of one screening of N samples."""

    step: int
    """Number of steps before the screening."""
    noise: NoiseEstimate
    p_clean: Floats
    """(N,) float32, probability that the given label is right."""
    group: Ints
    """(N,) int8, values of `Group`."""
    target: Ints
    """(N,) int32, the rectified labels."""


class History:
    """The screenings of a run in their order, with one file for each.

    Parameters
    ----------
    folder : folder of the files; None for a temporary folder that is removed together with the history.
    """

    def __init__(self, folder: Path | None = None):
        self.folder = folder

    def add(self, step: int, outcome: Round) -> None:
        """Add a screening, which replaces an earlier one of the same step. Raises DataError if it cannot be written."""
        noise = outcome.noise
        arrays = {
            "p_clean": np.asarray(outcome.partition.p_clean, np.float32),
            "group": np.asarray(outcome.partition.group, np.int8),
            "target": np.asarray(outcome.targets.hard, np.int32),
        }
        metadata = {"noise": json.dumps([noise.rate, noise.low, noise.high])}
        save_tensors(self._made() / f"screening-{step:06d}.safetensors", arrays, metadata)

    def clear(self) -> None:
        """Remove all screenings."""
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

    def _made(self) -> Path:
        """Return the folder. A temporary folder is made at the first call."""
        if self.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="srrs-history-"))
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        return self.folder

    def _files(self) -> list[Path]:
        """Return the files of the screenings in their order."""
        return [] if self.folder is None else sorted(self.folder.glob("screening-*.safetensors"))
