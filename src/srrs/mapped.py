"""Large arrays that may be mapped from disk, without torch."""

import mmap
import tempfile
from typing import Any, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]

IN_MEMORY = 2**30
"""Arrays with more bytes are stored in a temporary file."""
KEPT = 2**28
"""Memory-mapped arrays with at most this number of bytes stay in memory after an operation on them."""
ROWS_AT_ONCE = 512
"""Number of rows after which `gathered` releases memory. The system may map half a megabyte around each row."""


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Return an uninitialized array: in memory, or in a temporary file if it has more than `IN_MEMORY` bytes.

    The file is in the folder that `TMPDIR` names. It is deleted together with the array.
    """
    kind = np.dtype(dtype)
    if int(np.prod(shape)) * kind.itemsize <= IN_MEMORY:
        return np.empty(shape, dtype=kind)
    with tempfile.TemporaryFile() as file:  # the mapping keeps the file after it is closed
        return np.memmap(file, dtype=kind, mode="w+", shape=shape)


def gathered(array: Array, rows: NDArray[np.integer] | slice) -> Array:
    """Return some rows of an array. Of a large memory-mapped array, only a part is in memory at a time.

    The system reads the pages around each row, too. Without releasing them, a few rows at random positions would bring
    nearly the whole file into memory.
    """
    if isinstance(rows, slice) or np.ndim(rows) == 0 or len(rows) <= ROWS_AT_ONCE or not _is_released(array):
        return np.asarray(array[rows])
    found = np.empty((len(rows), *array.shape[1:]), array.dtype)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        found[start : start + ROWS_AT_ONCE] = array[rows[start : start + ROWS_AT_ONCE]]
        release(array)
    return found


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
        return gathered(self._array, self._rows[rows])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.asarray(gathered(self._array, self._rows), dtype)


def taken(array: Array, rows: NDArray[np.integer] | None) -> Array:
    """Return the rows (n,) of a large array without copying them; the array itself if `rows` is None."""
    return array if rows is None else cast(Array, TakenRows(array, rows))


def release(array: Array | TakenRows) -> None:
    """Release the memory of a large memory-mapped array after an operation on it. The array can still be used.

    A smaller array stays in memory, because reading it again for each operation costs more than keeping it.
    """
    if _is_released(array):
        cast(Any, array)._mmap.madvise(mmap.MADV_DONTNEED)


def _is_released(array: Array | TakenRows) -> bool:
    """Return whether `release` has an effect on an array."""
    return getattr(array, "_mmap", None) is not None and array.nbytes > KEPT and hasattr(mmap, "MADV_DONTNEED")
