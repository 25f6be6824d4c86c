"""Large arrays a block of rows at a time, so that temporaries do not grow with the number of rows."""

import mmap
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

Array = NDArray[Any]

WHOLE = 65_536
"""Up to so many rows all are one block, and everything is computed as without blocks, to the bit."""
ROWS = 4_096
"""Rows of a block beyond that: what is made of them stays near the processor."""
IN_MEMORY = 2**30
"""Larger arrays (bytes) lie in a temporary file."""
KEPT = 2**28
"""The pages of smaller arrays (bytes) stay in memory after a pass over them."""


def is_large(rows: int) -> bool:
    """Return whether an operation on this number of rows works in blocks."""
    return rows > WHOLE


def blocks(rows: int) -> list[slice]:
    """Return slices that cover 0..rows in order: one slice, or many short ones for more than `WHOLE` rows."""
    if not is_large(rows):
        return [slice(0, rows)]
    return [slice(start, min(start + ROWS, rows)) for start in range(0, rows, ROWS)]


def by_blocks(rows: int, compute: Callable[[slice], Mapping[str, Tensor]]) -> dict[str, Array]:
    """Return the arrays that `compute` gives for each block, put together by name."""
    first, *others = blocks(rows)
    parts = compute(first)
    arrays = {name: part.cpu().numpy() for name, part in parts.items()}
    if not others:
        return arrays
    whole = {name: empty((rows, *array.shape[1:]), array.dtype) for name, array in arrays.items()}
    places = {name: torch.from_numpy(array) for name, array in whole.items()}
    for block in (first, *others):
        for name, part in (parts if block is first else compute(block)).items():
            places[name][block] = part
    return whole


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Return an array to fill: in memory, or in a temporary file if it would not fit there well.

    The file lies where `TMPDIR` says and goes with the array.
    """
    kind = np.dtype(dtype)
    if int(np.prod(shape)) * kind.itemsize <= IN_MEMORY:
        return np.empty(shape, dtype=kind)
    with tempfile.TemporaryFile() as file:  # the mapping outlives the file's name
        return np.memmap(file, dtype=kind, mode="w+", shape=shape)


class TakenRows:
    """Some rows of a large array, in an order of their own, read only where they are asked for.

    It takes the place of `array[rows]`, which would copy them all.
    """

    def __init__(self, array: Array, rows: NDArray[np.integer]):
        self._array, self._rows = array, rows
        self.shape, self.dtype, self.ndim = (len(rows), *array.shape[1:]), array.dtype, array.ndim
        self._mmap = getattr(array, "_mmap", None)
        self.nbytes = array.nbytes

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: Any) -> Array:
        return np.asarray(self._array[self._rows[rows]])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.asarray(self._array[self._rows], dtype)


def taken(array: Array, rows: NDArray[np.integer] | None) -> Array:
    """Return some rows of a large array without copying them; None stands for all rows."""
    return array if rows is None else cast(Array, TakenRows(array, rows))


def release(array: Array | TakenRows) -> None:
    """Take the pages of a large memory-mapped array out of this process's memory, after a pass over it.

    They stay valid. Those of a smaller array stay: fetching them again at each pass costs more than keeping them.
    """
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and array.nbytes > KEPT and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def single(array: Array) -> Tensor:
    """Return a copy in float32. torch converts float16 many times faster than numpy."""
    readable = array if array.flags.writeable else np.array(array)  # torch warns of what it must not write to
    return torch.from_numpy(readable).to(torch.float32, copy=True)
