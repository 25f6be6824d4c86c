"""What acting on an audit would do, row by row: the dry run."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from srrs.audit.decisions import Decision, settled
from srrs.audit.summary import printable
from srrs.audit.table import Audit

if TYPE_CHECKING:
    from rich.console import RenderableType

ACTIONS = ("relabel", "drop", "keep", "unusable")
SURE = 0.9
SHOWN = 20


@dataclass(frozen=True, eq=False)
class Plan:
    """One row per row of the audit, in its order."""

    table: pd.DataFrame = field(repr=False)
    """Columns id, path, given, action (one of `ACTIONS`), label (the new one; None where there is none) and by
    (decision, suggestion or None)."""

    def counts(self) -> dict[str, int]:
        """Rows per action, zeros included."""
        found = self.table.action.value_counts()
        return {action: int(found.get(action, 0)) for action in ACTIONS}

    @property
    def changes(self) -> pd.DataFrame:
        """The rows that are relabelled or dropped."""
        return self.table[self.table.action.isin(["relabel", "drop"])]

    @property
    def digest(self) -> str:
        """Changes with anything that would be done."""
        rows = self.table[["id", "path", "given", "action", "label"]].to_numpy().tolist()
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """Counts and changes as JSON."""
        return {"counts": self.counts(), "changes": self.changes.to_dict("records")}

    def lines(self) -> list[str]:
        """The plan in words, a line each."""
        counts, by = self.counts(), self.changes.by.value_counts()
        words = {"relabel": "relabelled", "drop": "dropped", "keep": "kept", "unusable": "unusable"}
        told = [f"{count:,} {words[action]}" for action, count in counts.items() if count or action != "unusable"]
        lines = [f"{len(self.table):,} photographs: {', '.join(told)}"]
        if by.get("suggestion", 0):
            lines.append(f"the audit's own suggestions, reviewed by nobody: {by['suggestion']:,}")
        return lines

    def __rich__(self) -> "RenderableType":
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        shown = Table(box=None, pad_edge=False)
        for name in ("", "photograph", "given", "label", "by"):
            shown.add_column(name)
        for row in self.changes.head(SHOWN).itertuples():
            cells = (row.action, row.id, row.given or "", row.label or "", row.by)
            shown.add_row(*(Text(printable(str(cell))) for cell in cells))
        more = len(self.changes) - SHOWN
        rest = [Text(f"and {more:,} more")] if more > 0 else []
        return Group(*([shown] if len(self.changes) else []), *rest, *map(Text, self.lines()))


def plan(audit: Audit, decisions: Mapping[str, Decision] | None = None, *, confidence: float = SURE) -> Plan:
    """What acting would do.

    With decisions, they alone count, and those that the audit was made with (`--trusted`). Without, the audit's
    suggestion is taken for labels it calls noisy, where it is at least `confidence` (0..1) sure of it. A row without
    a decision is kept, or unusable where the audit says so.
    """
    table = audit.table
    doubted = (table.status == "noisy") & (table.suggested_confidence >= confidence) & table.suggested.notna()
    known = settled(audit) | dict(decisions or {})
    rows = [
        _row(row, known.get(id), decisions is None and sure)
        for id, row, sure in zip(table.id, table.itertuples(), doubted, strict=True)
    ]
    columns = ("action", "label", "by")
    texts = {name: pd.Series([row[at] for row in rows], dtype=object) for at, name in enumerate(columns)}
    kept = {name: pd.Series(table[name].to_numpy(), dtype=object) for name in ("id", "path", "given")}
    return Plan(pd.DataFrame(kept | texts))


def _row(row: Any, decision: Decision | None, sure: np.bool_ | bool) -> tuple[str, str | None, str | None]:
    if decision is not None:
        action = "drop" if decision.label is None else "keep" if decision.label == row.given else "relabel"
        return action, decision.label, "decision"
    if row.status == "unusable":
        return "unusable", None, None
    if sure and row.suggested != row.given:
        return "relabel", row.suggested, "suggestion"
    return "keep", row.given, None
