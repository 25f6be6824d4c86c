"""Operations on large arrays in blocks of rows, so that temporary arrays do not grow with the number of rows."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from srrs.mapped import Array, empty

WHOLE = 65_536
"""Largest number of rows for which there is only one block. Up to this number, results are identical to those without
blocks."""
ROWS = 4_096
"""Number of rows of a block if there are more than `WHOLE` rows. The temporary arrays of a block fit into the
processor's cache."""


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


def single(array: Array) -> Tensor:
    """Return a copy as a float32 tensor. The array is converted by torch, which is faster than numpy for float16."""
    readable = array if array.flags.writeable else np.array(array)  # torch warns about arrays that are read-only
    return torch.from_numpy(readable).to(torch.float32, copy=True)
