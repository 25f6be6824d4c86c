"""Operations on large arrays in blocks of rows, so that temporary arrays do not grow with the number of rows."""

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
"""Largest number of rows for which there is only one block. Up to this number, results are identical to those without
blocks."""
ROWS = 4_096
"""Number of rows of a block if there are more than `WHOLE` rows. The temporary arrays of a block fit into the
processor's cache."""
IN_MEMORY = 2**30
"""Arrays with more bytes are stored in a temporary file."""
KEPT = 2**28
"""Memory-mapped arrays with at most this number of bytes stay in memory after an operation on them."""


def is_large(rows: int) -> bool:
    """Return whether an operation on this number of rows works in several blocks."""
    return rows > WHOLE


def blocks(rows: int) -> list[slice]:
    """Return slices that cover 0..rows in order: one slice, or slices of `ROWS` for more than `WHOLE` rows."""
    if not is_large(rows):
        return [slice(0, rows)]
    return [slice(start, min(start + ROWS, rows)) for start in range(0, rows, ROWS)]


def by_blocks(rows: int, compute: Callable[[slice], Mapping[str, Tensor]]) -> dict[str, Array]:
    """Call `compute` for each block of 0..rows, and return the concatenated results as arrays by name.

    `compute` takes a slice and returns tensors by name, whose first dimension is the length of the slice.
    """
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
    """Return an uninitialized array: in memory, or in a temporary file if it has more than `IN_MEMORY` bytes.

    The file is in the folder that `TMPDIR` names. It is deleted together with the array.
    """
    kind = np.dtype(dtype)
    if int(np.prod(shape)) * kind.itemsize <= IN_MEMORY:
        return np.empty(shape, dtype=kind)
    with tempfile.TemporaryFile() as file:  # the mapping keeps the file after it is closed
        return np.memmap(file, dtype=kind, mode="w+", shape=shape)


class TakenRows:
    """Some rows of a large array, in a given order. A row is read when it is indexed.

    This object replaces `array[rows]`, which would copy all of these rows.
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
    """Return the rows (n,) of a large array without copying them; the array itself if `rows` is None."""
    return array if rows is None else cast(Array, TakenRows(array, rows))


def release(array: Array | TakenRows) -> None:
    """Release the memory of a large memory-mapped array after an operation on it. The array can still be used.

    A smaller array stays in memory, because reading it again for each operation costs more than keeping it.
    """
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and array.nbytes > KEPT and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def single(array: Array) -> Tensor:
    """Return a copy as a float32 tensor. The array is converted by torch, which is faster than numpy for float16."""
    readable = array if array.flags.writeable else np.array(array)  # torch warns about arrays that are read-only
    return torch.from_numpy(readable).to(torch.float32, copy=True)
