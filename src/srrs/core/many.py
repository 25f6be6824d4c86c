"""Arrays (N, C) for very many samples and classes, which are not held in memory as a whole.

Either rows are computed when they are read, or each row holds its most probable classes only.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from srrs.core.blocks import blocks
from srrs.mapped import Array, empty

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

ENTRIES = 100_000_000
"""Number of entries of the largest array (N, C) that is held in memory as a whole."""
KEPT = 10
"""Number of classes that are stored for each sample of a larger array, besides the class of its label."""


def is_huge(rows: int, classes: int) -> bool:
    """Return whether an array of this shape has more than `ENTRIES` entries."""
    return rows * classes > ENTRIES


def class_probabilities(labels: Ints, classes: int) -> Floats:
    """Return an array (N, C) of zeros that can be filled with probabilities, or a `TopClasses` if it would be huge.

    `labels` (N,) are the classes whose probability is always stored.
    """
    if is_huge(len(labels), classes):
        return cast(Floats, TopClasses(labels, classes))
    return np.zeros((len(labels), classes), np.float32)


class ComputedRows:
    """An array (N, C) whose rows are computed whenever they are read.

    `compute` returns the rows at the given positions.
    """

    ndim = 2

    def __init__(self, shape: tuple[int, int], compute: Callable[[Any], Floats]):
        self.shape, self._compute = shape, compute

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Floats:
        return self._compute(rows)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.asarray(_whole(self, self.shape), dtype)

    def with_rows(self, rows: Ints, values: Floats) -> "ComputedRows":
        """Return a copy in which the rows (n,) at the positions `rows` have the given values (n, C)."""
        place = np.full(len(self), -1)
        place[rows] = np.arange(len(rows))

        def compute(at: Any) -> Floats:
            found, places = np.array(self[at]), place[at]
            found[places >= 0] = values[places[places >= 0]]
            return found

        return ComputedRows(self.shape, compute)


class TopClasses:
    """Probabilities (N, C), of which each row stores only its largest entries and the entry of its label.

    The other classes of a row get equal shares of the remaining probability. The stored entries are exact, so the most
    probable class is exact, too.
    """

    ndim, dtype = 2, np.dtype(np.float32)

    def __init__(self, labels: Ints, classes: int):
        n = len(labels)
        self.shape = (n, classes)
        self._classes = empty((n, KEPT + 1), np.uint16 if classes <= 2**16 else np.int32)
        self._classes[:] = np.asarray(labels)[:, None]
        self._values = empty((n, KEPT + 1), np.float32)
        self._values[:] = 0
        self._rest, self._sum = np.zeros(n, np.float32), np.zeros(n, np.float32)

    def __len__(self) -> int:
        return self.shape[0]

    def __setitem__(self, at: tuple[Ints, Ints], values: Floats) -> None:
        """Set the probabilities of some rows.

        `at` is a pair: the rows (n, 1), and classes (n, K) in ascending order. `values` (n, K) are the probabilities of
        these classes. All other classes get equal shares of the remaining probability.
        """
        rows, index = at[0][:, 0], at[1]
        order = np.argsort(-values, axis=1, kind="stable")[:, :KEPT]
        top, held = np.take_along_axis(index, order, 1), np.take_along_axis(values, order, 1)
        own = self._classes[rows, KEPT]
        of_label = np.where(index == own[:, None], values, 0).sum(1)
        self._classes[rows, : top.shape[1]], self._values[rows, : top.shape[1]] = top, held
        self._values[rows, KEPT] = of_label
        outside = ~(top == own[:, None]).any(1)
        self._classes[rows[:, None], np.arange(top.shape[1], KEPT)] = own[:, None]
        self._values[rows[:, None], np.arange(top.shape[1], KEPT)] = of_label[:, None]
        total = held.sum(1) + np.where(outside, of_label, 0)
        others = self.shape[1] - top.shape[1] - outside
        self._rest[rows] = np.maximum(1 - total, 0) / np.maximum(others, 1)
        self._sum[rows] = total + others * self._rest[rows]

    def __getitem__(self, at: Any) -> Floats:
        if isinstance(at, tuple):
            rows, classes = at
            hit = self._classes[rows] == np.asarray(classes)[:, None]
            held = np.where(hit, self._values[rows], 0).max(1)
            return np.where(hit.any(1), held, self._rest[rows])
        dense = np.repeat(self._rest[at][:, None], self.shape[1], axis=1)
        np.put_along_axis(dense, self._classes[at].astype(np.int64), self._values[at], axis=1)
        return dense

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.asarray(_whole(self, self.shape), dtype)

    def argmax(self, axis: int) -> Ints:
        """Return the most probable class (N,) of each row."""
        return self._classes[:, 0].astype(np.int64)

    def sum(self, axis: int) -> Floats:
        """Return the sum (N,) of each row."""
        return self._sum

    def with_certain(self, rows: Ints, labels: Ints) -> "TopClasses":
        """Return a copy in which the labels (n,) of the rows at the positions `rows` (n,) have the probability 1."""
        changed = TopClasses(self._classes[:, KEPT], self.shape[1])
        for name in ("_classes", "_values", "_rest", "_sum"):
            getattr(changed, name)[:] = getattr(self, name)
        changed._classes[rows], changed._values[rows] = labels[:, None], 1
        changed._rest[rows], changed._sum[rows] = 0, 1
        return changed


def _whole(rows_of: Any, shape: tuple[int, int]) -> Array:
    """Return all rows as one array, computed in blocks."""
    out = empty(shape, np.float32)
    for rows in blocks(shape[0]):
        out[rows] = rows_of[rows]
    return out
