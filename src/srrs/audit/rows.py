"""The rows of an audit as the user gave them, and the table that is made of these rows and of the last round.

N usable samples, C classes, D feature size.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from srrs.core.blocks import is_large
from srrs.records import Finding, Floats, Group, Ints, Round, Thresholds

NUMBERS = ("quality", "p_clean", "suggested_confidence", "match", "neighbors_agree")
"""Columns of numbers."""
BEFORE = (
    *("id", "path", "given", "status", "quality", "p_clean"),
    *("suggested", "suggested_confidence", "match", "zero_shot"),
)
"""Columns before the columns of tuned predictions, which have the names of the tuners."""
AFTER = ("neighbors_agree", "issue", "flags")
"""Columns after the columns of tuned predictions."""
NEIGHBORS = 10
"""Largest number of nearest images for the column `neighbors_agree`."""


@dataclass(frozen=True)
class Rows:
    """The user's rows as they were read: usable and unusable rows, in the user's order."""

    ids: tuple[str, ...]
    """Ids of the rows, which are unique."""
    paths: tuple[str | None, ...]
    """Path of each row; None if the image is not a file."""
    given: Ints
    """Number of the given class; -1 for none."""
    class_names: tuple[str, ...]
    issues: tuple[str | None, ...]
    """Reason why the row cannot be used, as text; None or empty if it can."""
    words: tuple[str, ...] = ()
    """(C,) names of the classes that the model encodes; () if these are `class_names`."""

    def __post_init__(self) -> None:
        sizes = {"ids": len(self.ids), "paths": len(self.paths), "given": len(self.given), "issues": len(self.issues)}
        if len(set(sizes.values())) != 1:
            raise ValueError(f"ids, paths, given and issues must be of one length, but have {sizes}")
        if len(set(self.ids)) != len(self.ids):
            raise ValueError("ids must be unique")
        if len(set(self.class_names)) != len(self.class_names):
            raise ValueError("class_names must be unique")
        if len(self.given) and (self.given.min() < -1 or self.given.max() >= len(self.class_names)):
            raise ValueError(f"given must lie in -1..{len(self.class_names) - 1}")


@dataclass(frozen=True)
class Bands:
    """The bounds of the ambiguous band in a score: one pair, or one per class."""

    score: str
    """Name of the score, such as `loss` or `p_clean`."""
    lower: tuple[float, ...]
    upper: tuple[float, ...]

    @classmethod
    def of(cls, thresholds: Thresholds | None) -> "Bands | None":
        """Return the bounds of the ambiguous band from the thresholds of screening; None without thresholds."""
        if thresholds is None:
            return None
        return cls(thresholds.score, tuple(thresholds.lower.tolist()), tuple(thresholds.upper.tolist()))


def table_of(
    rows: Rows,
    at: Ints,
    round: Round,
    predicted: Mapping[str, Ints],
    features: Floats | None,
    neighbors: Ints | None,
    flags: Mapping[str, str | None],
) -> pd.DataFrame:
    """Return the audit table, with one row for each row of the user. Arguments and errors are those of `Audit.of`."""
    _check_places(rows, at, round)
    neighbors_agree = _neighbors_agree(round, features, neighbors)
    targets = round.targets
    of_class = np.array([*rows.class_names, None], dtype=object)  # index -1 is None
    best = targets.hard

    def spread(values: Any, nothing: Any = None) -> np.ndarray:
        column = np.full(len(rows.ids), nothing, dtype=object if nothing is None else np.float64)
        column[at] = np.asarray(values)
        return column

    issues = [issue or None for issue in rows.issues]
    usable = np.zeros(len(rows.ids), dtype=bool)
    usable[at] = True
    for i in np.flatnonzero(~usable):
        issues[i] = issues[i] or ("has no label" if rows.given[i] < 0 else "was not audited")
    names = np.array([group.name.lower() for group in Group], dtype=object)
    nothing = [None] * len(rows.ids)
    words = {name: spread(of_class[classes]) for name, classes in predicted.items()}
    return frame_of(
        {
            "id": rows.ids,
            "path": rows.paths,
            "given": of_class[rows.given],
            "status": [status or "unusable" for status in spread(names[round.partition.group])],
            "quality": spread(round.quality, np.nan),
            "p_clean": spread(round.partition.p_clean, np.nan),
            "suggested": spread(of_class[best]),
            "suggested_confidence": spread(targets.soft[np.arange(len(at)), best], np.nan),
            "match": spread(round.matched.score, np.nan),
            "zero_shot": words.pop("zero_shot", nothing),
            **words,
            "neighbors_agree": spread(neighbors_agree, np.nan),
            "issue": issues,
            "flags": [flags.get(id) or None for id in rows.ids],
        }
    )


def frame_of(columns: Mapping[str, Iterable[Any]]) -> pd.DataFrame:
    """Return a table in which all texts are `str`, also texts such as `nan` and `NA`, in every version of pandas."""
    kinds = {name: np.float64 if name in NUMBERS else object for name in columns}
    cells = {
        name: column if isinstance(column, np.ndarray | list) else list(column) for name, column in columns.items()
    }
    # copy=False: by default, pandas would copy all columns once more
    return pd.DataFrame({name: pd.Series(cells[name], dtype=kind) for name, kind in kinds.items()}, copy=False)


def _check_places(rows: Rows, at: Ints, round: Round) -> None:
    """Raise ValueError if the samples of the round are not different rows of the user, or the classes differ."""
    if len(at) != len(round.quality) or len(np.unique(at)) != len(at) or (len(at) and at.max() >= len(rows.ids)):
        raise ValueError("each sample of the round must be one row of the user's, once")
    if round.targets.soft.shape[1] != len(rows.class_names):
        raise ValueError(f"the round knows {round.targets.soft.shape[1]} classes, not {len(rows.class_names)}")


def _neighbors_agree(round: Round, features: Floats | None, neighbors: Ints | None) -> Floats:
    """Return the share (N,) of the nearest images with the same given label; NaN if they are not known."""
    from srrs.core.neighbors import label_agreement

    labels = round.evidence.labels
    agreement = np.full(len(labels), np.nan)
    if neighbors is None and (features is None or is_large(len(labels))):
        return agreement
    order = np.argsort(round.evidence.keys)  # by key, so that the order of the rows does not matter for ties
    sizes = np.unique(labels, return_counts=True)[1]
    k = min(NEIGHBORS, int(np.median(sizes)) - 1) if len(sizes) else 0
    if k > 0 and neighbors is not None:
        near = neighbors[:, :k]
        same = (labels[near] == labels[:, None]) & (near >= 0)
        return np.asarray(same.sum(1) / np.maximum((near >= 0).sum(1), 1))
    if k > 0 and features is not None:
        agreement[order] = label_agreement(np.asarray(features)[order], labels[order], k)
    return agreement


def spelled_out(finding: Finding, class_names: Sequence[str], most: int = 10) -> Finding:
    """Return the finding with the names of its classes in the text, at most `most` of them."""
    if not finding.classes:
        return finding
    named = ", ".join(class_names[at] for at in finding.classes[:most])
    rest = len(finding.classes) - most
    return Finding(finding.level, f"{finding.text} {named}{f' and {rest} more' if rest > 0 else ''}.")
