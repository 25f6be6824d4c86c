"""What a person decided: decisions.csv as the review page writes it, read and checked against its audit.

The columns are id, path, given, action and label; path and given may be missing. A cell that a spreadsheet would run
as a formula (it begins with = + - @, a tab or a carriage return) has a quote ' in front, taken off here; one more
quote is added to a cell that has quotes before such a character already, so that every text comes back as it was.
"""

import csv
import difflib
import io
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from srrs.audit.table import Audit
from srrs.errors import DataError

ACTIONS = ("accept", "keep", "drop", "relabel")
"""Take the suggestion, keep the given label, leave the photo out, or give another class."""
COLUMNS = ("id", "path", "given", "action", "label")
_GUARDED = re.compile(r"'+[=+\-@\t\r]")


@dataclass(frozen=True)
class Decision:
    """What to do with one photo, and the label it ends with; None for a dropped one."""

    action: str
    label: str | None


def read_decisions(path: str | os.PathLike[str], audit: Audit, *, new_classes: bool = False) -> dict[str, Decision]:
    """Decisions by the id of their row.

    Raises
    ------
    DataError
        The file is missing or no such table; an id is not the audit's; the given label is another than the audit's;
        an action is none of `ACTIONS`; a class is none of the audit's and `new_classes` is not set; or two lines
        decide differently on one photo.
    """
    path = Path(path)
    rows = {id.encode("utf-8", "backslashreplace").decode(): id for id in audit.table.id}  # as a text file has them
    rows |= {id: id for id in audit.table.id}
    records = audit.table.set_index("id")[["given", "suggested"]].to_dict("index")
    decisions: dict[str, Decision] = {}
    lines: dict[str, int] = {}
    for line, cells in _lines(path):
        where = f"line {line} of {path}"
        if cells["id"] not in rows:
            raise DataError(
                f"Expected ids of the audit, but '{cells['id']}' in {where} is none of its {len(audit):,}. "
                "Give the audit that the decisions were made on."
            )
        id = rows[cells["id"]]
        decision = _decision(cells, records[id]["given"], records[id]["suggested"], where)
        if decision.label is not None and decision.label != records[id]["given"] and not new_classes:
            _check_class(decision.label, audit.class_names, where)
        if decisions.setdefault(id, decision) != decision:
            raise DataError(
                f"Expected one decision on each photo, but lines {lines[id]} and {line} of {path} differ on '{id}': "
                f"{_words(decisions[id])}, and {_words(decision)}. Remove one of them."
            )
        lines.setdefault(id, line)
    return decisions


def _decision(cells: Mapping[str, str], given: str | None, suggested: str | None, where: str) -> Decision:
    action, label = cells["action"].strip().lower(), cells["label"] or None
    if action not in ACTIONS:
        raise DataError(f"Expected one of the actions {', '.join(ACTIONS)} in {where}, but found '{cells['action']}'.")
    if cells["given"] and cells["given"] != given:
        raise DataError(
            f"Expected decisions on this audit, but {where} was made when the label was '{cells['given']}', and it is "
            f"'{given or 'none'}' now. Review the page of this audit, or give the audit it was made on."
        )
    if action == "drop":
        return Decision(action, None)
    if action == "keep":
        if given is None or label not in (None, given):
            raise DataError(
                f"Expected '{given or 'no label'}' to be kept in {where}, but found '{label or 'no label'}'. "
                "Use the action relabel for another class."
            )
        return Decision(action, given)
    label = label or (suggested if action == "accept" else None)
    if label is None:
        raise DataError(f"Expected a class in the column label of {where}, but it is empty: {action} needs one.")
    return Decision(action, label)


def _check_class(label: str, class_names: tuple[str, ...], where: str) -> None:
    if label in class_names:
        return
    near = difflib.get_close_matches(label, class_names, 1)
    hint = f"Did you mean '{near[0]}'?" if near else "Mend it"
    raise DataError(
        f"Expected one of the {len(class_names):,} classes of the audit in {where}, but found '{label}'. "
        f"{hint} {'If' if near else 'or, if'} it is a new class, say so with --new-classes."
    )


def _lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Number and cells of each line; a column that the file lacks is empty."""
    wanted = f"Expected decisions with the columns {', '.join(COLUMNS)} in {path}"
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{wanted}, but it cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise DataError(f"{wanted}, but it is no UTF-8 text. Save it as CSV UTF-8.") from None
    header = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count), strict=True)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        if missing := {"id", "action", "label"} - set(names):
            raise DataError(f"{wanted}, but it lacks {' and '.join(sorted(missing))}.")
        for row in reader:
            if len(row) > len(names):
                raise DataError(f"{wanted}, but line {reader.line_num} has {len(row)} cells for {len(names)} columns.")
            if any(row):
                cells = dict.fromkeys(COLUMNS, "") | dict(zip(names, map(plain, row), strict=False))
                yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(f"{wanted}, but line {reader.line_num} is malformed: {error}.") from None


def plain(cell: str) -> str:
    """A cell without the quote that keeps spreadsheets from running it."""
    return cell[1:] if _GUARDED.match(cell) else cell


def _words(decision: Decision) -> str:
    return decision.action if decision.label is None else f"{decision.action} as '{decision.label}'"
