"""The plan of `srrs apply`: which rows it relabels, drops or keeps. The plan is made before any file changes."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from srrs.audit.decisions import Decision, settled
from srrs.audit.flags import twins_of
from srrs.audit.table import Audit
from srrs.errors import DataError
from srrs.io import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

ACTIONS = ("relabel", "drop", "keep", "unusable")
"""Actions on rows; an unusable row gets none of the others."""
SURE = 0.9
"""Default of the least confidence of a suggestion that is applied without a review."""
SHOWN = 20
"""Largest number of changes that the terminal shows."""
DROPPABLE = ("duplicates", "unusable")
"""Kinds of images that can be dropped on request."""
_NOT_BROKEN = ("no label", "has no label", "missing file", "no embedding", "was not audited", "left out by decision")
"""Issues that do not mean a damaged file: the file is missing, or can be read."""


@dataclass(frozen=True, eq=False)
class Plan:
    """The planned change of each row of an audit, in the order of the audit."""

    table: pd.DataFrame = field(repr=False)
    """Columns id, path, given, action (one of `ACTIONS`), label (the new label, or None) and by (the reason of the
    change: decision, suggestion, request or None)."""

    def counts(self) -> dict[str, int]:
        """Return the number of rows per action, zeros included."""
        found = self.table.action.value_counts()
        return {action: int(found.get(action, 0)) for action in ACTIONS}

    @property
    def changes(self) -> pd.DataFrame:
        """Return the rows that are relabeled or dropped."""
        return self.table[self.table.action.isin(["relabel", "drop"])]

    @property
    def digest(self) -> str:
        """Return the digest of all changes of the plan."""
        rows = self.table[["id", "path", "given", "action", "label"]].to_numpy().tolist()
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """Return the counts and changes as JSON."""
        return {"counts": self.counts(), "changes": self.changes.to_dict("records")}

    def lines(self) -> list[str]:
        """Return the plan as lines of text, for the terminal."""
        counts, by = self.counts(), self.changes.by.value_counts()
        words = {"relabel": "relabeled", "drop": "dropped", "keep": "kept", "unusable": "unusable"}
        told = [f"{count:,} {words[action]}" for action, count in counts.items() if count or action != "unusable"]
        lines = [f"{len(self.table):,} images: {', '.join(told)}"]
        if by.get("suggestion", 0):
            lines.append(f"the audit's own suggestions, reviewed by nobody: {by['suggestion']:,}")
        if by.get("request", 0):
            lines.append(f"duplicates and unusable files, dropped on request: {by['request']:,}")
        return lines

    def __rich__(self) -> "RenderableType":
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        shown = Table(box=None, pad_edge=False)
        for name in ("", "image", "given", "label", "by"):
            shown.add_column(name)
        for row in self.changes.head(SHOWN).itertuples():
            cells = (row.action, row.id, row.given or "", row.label or "", row.by)
            shown.add_row(*(Text(printable(str(cell))) for cell in cells))
        more = len(self.changes) - SHOWN
        rest = [Text(f"and {more:,} more")] if more > 0 else []
        return Group(*([shown] if len(self.changes) else []), *rest, *map(Text, self.lines()))


def plan(
    audit: Audit,
    decisions: Mapping[str, Decision] | None = None,
    *,
    confidence: float = SURE,
    drop: Collection[str] = (),
) -> Plan:
    """Return the changes that follow from decisions or from suggestions.

    With `decisions`, the plan consists of these decisions and of those with which the audit was made (`--trusted`).
    Without, the plan takes the suggestion of each noisy label with a `suggested_confidence` of at least `confidence`,
    and the decisions with which the audit was made. Any other row is kept, and an unusable row stays unusable.

    Parameters
    ----------
    audit : the audit.
    decisions : decisions by id; None for suggestions.
    confidence : from 0 to 1.
    drop : any of `DROPPABLE`: "duplicates" drops all but the first of images with equal content and label, "unusable"
        drops files that cannot be read as images. A decision on a row takes precedence.

    Raises
    ------
    DataError
        `drop` has an unknown value; or there are no decisions, and the suggestions of the audit are not reliable enough
        to apply them without a review (`Audit.trusted` is False).
    """
    if unknown := set(drop) - set(DROPPABLE):
        raise DataError(f"Expected {' or '.join(DROPPABLE)} to be dropped, but found '{min(unknown)}'.")
    if decisions is None and not audit.trusted:
        reason = next((f" {finding.text}" for finding in audit.findings if finding.level == "warning"), "")
        raise DataError(
            "Expected decisions, because this audit does not trust its own suggestions enough to apply them unreviewed."
            f"{reason} Review the page, and give its decisions.csv with --decisions."
        )
    table = audit.table
    doubted = (table.status == "noisy") & (table.suggested_confidence >= confidence) & table.suggested.notna()
    known = settled(audit) | dict(decisions or {})
    rows = [
        _row(row, known.get(id), decisions is None and sure)
        for id, row, sure in zip(table.id, table.itertuples(), doubted, strict=True)
    ]
    for at in _extra(table, rows, drop):
        rows[at] = ("drop", None, "request")
    columns = ("action", "label", "by")
    texts = {name: pd.Series([row[at] for row in rows], dtype=object) for at, name in enumerate(columns)}
    kept = {name: pd.Series(table[name].to_numpy(), dtype=object) for name in ("id", "path", "given")}
    return Plan(pd.DataFrame(kept | texts))


def _row(row: Any, decision: Decision | None, sure: np.bool_ | bool) -> tuple[str, str | None, str | None]:
    """Return the action, the new label and the reason for a row. `sure` is whether its suggestion is applied."""
    if decision is not None:
        action = "drop" if decision.label is None else "keep" if decision.label == row.given else "relabel"
        return action, decision.label, "decision"
    if row.status == "unusable":
        return "unusable", None, None
    if sure and row.suggested != row.given:
        return "relabel", row.suggested, "suggestion"
    return "keep", row.given, None


def _extra(table: pd.DataFrame, rows: list[tuple[str, str | None, str | None]], drop: Collection[str]) -> list[int]:
    """Return the rows to drop on request: unreadable files, and later copies of an image with the same label."""
    found = []
    if "unusable" in drop:
        reasons = zip(table.issue, rows, strict=True)
        found += [at for at, (issue, row) in enumerate(reasons) if row[0] == "unusable" and issue not in _NOT_BROKEN]
    if "duplicates" in drop:
        place = {id: at for at, id in enumerate(table.id)}
        exact = [
            "; ".join(flag for flag in (cell or "").split("; ") if flag.startswith("duplicate of ")) or None
            for cell in table["flags"]
        ]
        for at, (id, twins) in enumerate(zip(table.id, twins_of(exact, place), strict=True)):
            same = [twin for twin in twins if rows[place[twin]][1] == rows[at][1] is not None]
            if rows[at][2] != "decision" and any(twin < id for twin in same):
                found.append(at)
    return found
