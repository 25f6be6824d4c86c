"""The record of the user's data: one row per image or object, in the user's order."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from srrs.data.pictures import Picture
from srrs.records import Ints

NO_LABEL = "no label"
"""Issue of a row without a label."""
MISSING = "missing file"
"""Issue of a row whose image does not exist."""


@dataclass(frozen=True, eq=False)
class Samples:
    """N images or objects and the labels given to them, in the user's order."""

    ids: tuple[str, ...]
    """(N,) unique ids: the path below the folder, the entry of the id column, or the path as the table writes it."""
    paths: tuple[Picture, ...]
    """(N,) files, or images without a file."""
    labels: Ints
    """(N,) index in `class_names`; -1 for no label."""
    class_names: tuple[str, ...]
    """(C,) class names, used in prompts and in all outputs."""
    class_keys: tuple[str, ...]
    """(C,) classes as the user wrote them, for example the names of folders."""
    issues: tuple[str, ...]
    """(N,) the reason why a row cannot be used; '' if it can."""
    keys: tuple[str, ...]
    """(N,) sha256 of the bytes of each image file; '' before `checked` is called, and if the file cannot be read."""
    notes: tuple[str, ...] = ()
    """Sentences for the user about files that the reader left out, and about columns and names that it guessed."""
    others: tuple[tuple[tuple[str, Picture], ...], ...] = ()
    """(N,) further images of the object of each row, each with its key; () if every row has one image."""
    own_names: tuple[str, ...] = ()
    """(C,) the user's own labels, if the option `names` gave other names for them; () without this option."""
    keyed_by_id: bool = False
    """Whether content keys are made from ids instead of contents, as for embeddings with ids that the user gives."""

    def __post_init__(self) -> None:
        n = len(self.ids)
        if not n == len(self.paths) == len(self.labels) == len(self.issues) == len(self.keys):
            raise ValueError("ids, paths, labels, issues and keys must have one entry per row")
        if self.others and len(self.others) != n:
            raise ValueError("others must have one entry per row")
        if self.own_names and len(self.own_names) != len(self.class_names):
            raise ValueError("own_names must have one entry per class")
        if n and not -1 <= self.labels.min() <= self.labels.max() < max(len(self.class_names), 1):
            raise ValueError(f"labels must lie in -1..{len(self.class_names) - 1}")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def usable(self) -> Ints:
        """Return the rows without an issue."""
        return np.array([row for row, issue in enumerate(self.issues) if not issue], dtype=np.int64)

    @property
    def label_names(self) -> tuple[str, ...]:
        """Return the names (C,) of the classes in audits, which are the user's own labels."""
        return self.own_names or self.class_names

    @cached_property
    def given(self) -> tuple[str, ...]:
        """Return the class name of each given label (N,); '' without a label."""
        return tuple(self.class_names[label] if label >= 0 else "" for label in self.labels.tolist())

    @cached_property
    def content_keys(self) -> NDArray[np.uint64]:
        """Return a key for each sample (N,) from its content: see `srrs.data.keys.content_keys`."""
        from srrs.data.keys import content_keys

        return content_keys(self)

    def pictures(self, row: int) -> tuple[tuple[str, Picture], ...]:
        """Return all images of a row as pairs of a key and an image."""
        return ((self.keys[row], self.paths[row]), *(self.others[row] if self.others else ()))

    def take(self, rows: Iterable[int]) -> "Samples":
        """Return the samples of some rows, in the given order."""
        rows = [int(row) for row in rows]
        ids, paths, issues, keys = (
            tuple(column[row] for row in rows) for column in (self.ids, self.paths, self.issues, self.keys)
        )
        others = tuple(self.others[row] for row in rows) if self.others else ()
        return replace(
            self, ids=ids, paths=paths, labels=self.labels[rows], issues=issues, keys=keys, others=others,  # type: ignore[arg-type]
        )  # fmt: skip

    def canonical_order(self) -> Ints:
        """Return the rows (N,) sorted by content, given label and id. The user's order has no effect."""
        given = self.given
        order = sorted(range(len(self)), key=lambda row: (self.keys[row], given[row], self.ids[row]))
        return np.array(order, dtype=np.int64)
