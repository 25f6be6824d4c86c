"""The summary of an audit.

C classes. Every number is computed from the audit table, so a saved audit has the same summary as a new one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from srrs.audit.flags import counts
from srrs.io import printable
from srrs.records import Group, Ints, NoiseEstimate

if TYPE_CHECKING:
    from rich.console import RenderableType

STATUSES = (*(group.name.lower() for group in (Group.NOISY, Group.AMBIGUOUS, Group.CLEAN, Group.OUTSIDE)), "unusable")
"""Every status, in the order in which a person should review them."""

DENSE = 500
"""Largest number of classes for which the summary in JSON contains the matrix of given and suggested classes."""


@dataclass(frozen=True)
class Pair:
    """Number of images with the given label `given` and the suggested class `suggested`."""

    given: str
    suggested: str
    count: int


@dataclass(frozen=True, eq=False)
class Summary:
    """Summary numbers of an audit. Rates are from 0 to 1."""

    images: int
    """Number of images."""
    classes: int
    """Number of classes C."""
    counts: dict[str, int]
    """Number of images per status, zeros included."""
    zero_shot_agreement: float
    """Share of the usable labels that are equal to the prediction of the untuned model; NaN without predictions."""
    noise: NoiseEstimate
    """Estimated share of wrong labels, with a range."""
    flags: dict[str, int]
    """Number of images per kind of flag, for the kinds that occur."""
    cells: Ints
    """(K, 3) given class, suggested class and number of usable images, for each pair that occurs."""
    pairs: tuple[Pair, ...]
    """Pairs of a given class and another suggested class, the most frequent pair first."""

    @classmethod
    def of(cls, table: pd.DataFrame, class_names: Sequence[str], noise: NoiseEstimate) -> "Summary":
        """Return the summary of an audit table. `noise` is the noise estimate of the audit."""
        usable = table[table.status != "unusable"]
        cells = confusion(usable, class_names)
        found = table.status.value_counts()
        return cls(
            images=len(table),
            classes=len(class_names),
            counts={status: int(found.get(status, 0)) for status in STATUSES},
            zero_shot_agreement=_agreement(usable),
            noise=noise,
            flags=counts(table["flags"]),
            cells=cells,
            pairs=_pairs(cells, class_names),
        )

    @property
    def matrix(self) -> Ints:
        """Return the counts (C, C) of usable images by given class (rows) and suggested class (columns)."""
        dense = np.zeros((self.classes, self.classes), dtype=np.int64)
        dense[self.cells[:, 0], self.cells[:, 1]] = self.cells[:, 2]
        return dense

    @property
    def unusable(self) -> int:
        """Return the number of images that could not be audited."""
        return self.counts["unusable"]

    @property
    def changed(self) -> int:
        """Return the number of images whose suggested class differs from the given one."""
        return sum(pair.count for pair in self.pairs)

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON. Unknown numbers are null."""
        return {
            "images": self.images,
            "classes": self.classes,
            "unusable": self.unusable,
            "counts": dict(self.counts),
            "zero_shot_agreement": finite(self.zero_shot_agreement),
            "noise": {name: finite(getattr(self.noise, name)) for name in ("rate", "low", "high")},
            "worst_pairs": [vars(pair) for pair in self.pairs[:20]],
            "noise_matrix": self.matrix.tolist() if self.classes <= DENSE else None,
            "flags": dict(self.flags),
        }

    def lines(self) -> list[str]:
        """Return the summary as lines of text, for the terminal."""
        head = f"{self.images:,} images, {self.classes:,} classes" + (
            f", {self.unusable:,} unusable" * bool(self.unusable)
        )
        lines = [
            head,
            f"estimated noise {percent(self.noise.rate)} ({noise_range(self.noise)})",
            ", ".join(f"{n:,} {s}" for s, n in self.counts.items() if s != "unusable" and (n or s != "outside")),
        ]
        if not isnan(self.zero_shot_agreement):
            lines.insert(1, f"zero-shot agrees with {percent(self.zero_shot_agreement)} of labels")
        if self.flags:
            lines.append("flagged: " + ", ".join(f"{count:,} {kind}" for kind, count in self.flags.items()))
        if self.pairs:
            worst = self.pairs[0]
            lines.append(f"worst pair: {printable(worst.given)} -> {printable(worst.suggested)} ({worst.count:,})")
        return lines

    def __str__(self) -> str:
        return "; ".join(self.lines())

    def __rich__(self) -> "RenderableType":
        from rich.table import Table
        from rich.text import Text

        colors = {"noisy": "red", "ambiguous": "yellow", "clean": "green"}
        grid = Table.grid(padding=(0, 2))
        for line in self.lines():
            text = Text(line)
            for status, color in colors.items():
                text.highlight_regex(rf"^[\d,]+ {status}\b|(?<=, )[\d,]+ {status}\b", color)
            grid.add_row(text)
        return grid


def confusion(table: pd.DataFrame, class_names: Sequence[str]) -> Ints:
    """Return the number of rows of an audit table for each pair of given and suggested class that occurs: (K, 3).

    The columns are given class, suggested class and number. A row without a given or a suggested class is not counted.
    The result is sorted by given class, then by suggested class.
    """
    size = max(len(class_names), 1)
    given, suggested = (codes(table[column], class_names) for column in ("given", "suggested"))
    known = (given >= 0) & (suggested >= 0)
    cells, count = np.unique(given[known] * size + suggested[known], return_counts=True)
    return np.stack([cells // size, cells % size, count], axis=1)


def codes(names: pd.Series, class_names: Sequence[str]) -> Ints:
    """Return the position (N,) of each name in `class_names`; -1 if the name is not one of them."""
    index = {name: i for i, name in enumerate(class_names)}
    return np.fromiter((index.get(name, -1) for name in names), np.int64, len(names))


def _pairs(cells: Ints, class_names: Sequence[str]) -> tuple[Pair, ...]:
    """Return the pairs of different classes, the most frequent pair first."""
    off = cells[cells[:, 0] != cells[:, 1]]
    order = np.argsort(-off[:, 2], kind="stable")
    return tuple(Pair(class_names[i], class_names[j], count) for i, j, count in off[order].tolist())


def finite(value: float) -> float | None:
    """Return the value, or None for NaN and infinities, which JSON cannot represent."""
    return float(value) if np.isfinite(value) else None


def percent(rate: float) -> str:
    """Return a rate as a whole percentage; `?` if it is unknown."""
    return f"{100 * rate:.0f} %" if np.isfinite(rate) else "?"


def noise_range(noise: NoiseEstimate) -> str:
    """Return the range of the noise estimate, such as 22-29 %."""
    return f"{100 * noise.low:.0f}-{percent(noise.high)}" if np.isfinite(noise.low) else "?"


def _agreement(usable: pd.DataFrame) -> float:
    """Return the share of labels that the untuned model predicts; NaN without predictions."""
    predicted = usable[usable.zero_shot.notna()]
    return float((predicted.zero_shot == predicted.given).mean()) if len(predicted) else float("nan")
