"""Functions that read decisions.csv, which the review page writes, and check the file against its audit.

The columns are id, path, given, action and label. The columns path and given may be missing. A spreadsheet would treat
a cell as a formula if it begins with one of = + - @, a tab or a carriage return. Therefore the page puts a quote ' in
front of such a cell. The quote is removed here.
"""

import csv
import difflib
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from srrs.audit.flags import is_trusted
from srrs.audit.table import Audit, Rows
from srrs.data.tables import unguarded
from srrs.errors import DataError
from srrs.io import read_bytes

ACTIONS = ("accept", "keep", "drop", "relabel")
"""Accept the suggested class, keep the given label, leave the image out, or choose another class."""
COLUMNS = ("id", "path", "given", "action", "label")
"""Columns of decisions.csv."""
NEW_CLASS = "if it is a new class, give it images and audit again."
"""Advice for a class that is not in the audit."""


@dataclass(frozen=True)
class Decision:
    """The decision on one image: the action, and the final label (None for a dropped image)."""

    action: str
    label: str | None


def read_decisions(path: str | os.PathLike[str], audit: Audit, *, new_classes: bool = False) -> dict[str, Decision]:
    """Read decisions, and return them by the id of their row.

    With `new_classes`, the decisions may contain classes that are not in the audit.

    Raises
    ------
    DataError
        The file is missing or not a table of decisions; an id is not in the audit; a given label differs from that of
        the audit; an action is not in `ACTIONS`; a class is not in the audit and `new_classes` is not set; or two lines
        contain different decisions on one image.
    """
    path = Path(path)
    rows = zip(audit.table.id, audit.table.given, audit.table.suggested, strict=True)
    records = {id: {"given": given, "suggested": suggested} for id, given, suggested in rows}
    classes = None if new_classes else audit.class_names
    return _checked(_lines(path), path, records, classes, "if it is a new class, say so with --new-classes.")


def read_trusted(path: str | os.PathLike[str], rows: Rows) -> dict[str, Decision]:
    """Read decisions on images that are audited again. Their labels are trusted. Return the decisions by id.

    Decisions on images that no longer exist are skipped. If the given label of an image has become the decided label in
    the meantime, the decision stays valid. Raises DataError as `read_decisions` does, and if no decision belongs to one
    of the rows.
    """
    path = Path(path)
    given = [rows.class_names[label] if label >= 0 else None for label in rows.given]
    records = {id: {"given": name, "suggested": None} for id, name in zip(rows.ids, given, strict=True)}
    known = _as_written(records)
    lines = []
    for line, cells in _lines(path):
        if cells["id"] in known:
            now = records[known[cells["id"]]]["given"]
            lines.append((line, cells | {"given": now or ""} if cells["label"] == now else cells))
    if not lines:
        raise DataError(
            f"Expected decisions on these {len(records):,} images in {path}, but none is on any of them. Give the "
            "decisions.csv of an audit of the same folder or table."
        )
    return _checked(lines, path, records, rows.class_names, NEW_CLASS)


def trusted_labels(labels: Mapping[str, str | None], rows: Rows) -> dict[str, Decision]:
    """Return trusted labels, a mapping from ids to classes, as decisions by id. The class None leaves an image out.

    Ids that no longer exist are skipped. Raises DataError if a class is not one of the rows' classes, and if no id
    belongs to one of the rows.
    """
    given = {id: rows.class_names[at] if at >= 0 else None for id, at in zip(rows.ids, rows.given, strict=True)}
    here = {id: label for id, label in labels.items() if id in given}
    if not here:
        found = f"no id that was given, such as '{next(iter(labels))}', is theirs" if labels else "found none"
        raise DataError(
            f"Expected trusted labels of these {len(given):,} images by their id, but {found}. The first "
            f"image has the id '{rows.ids[0]}'."
        )
    for id, label in here.items():
        if label is not None:
            _check_class(label, rows.class_names, f"the trusted label of '{id}'", NEW_CLASS)
    return {id: Decision(_action(label, given[id]), label) for id, label in here.items()}


def _action(label: str | None, given: str | None) -> str:
    """Return the action that leads from the given label to another label."""
    return "drop" if label is None else "keep" if label == given else "relabel"


def settled(audit: Audit) -> dict[str, Decision]:
    """Return the decisions with which an audit was made (`--trusted`): the suggested classes of its trusted rows."""
    rows = zip(audit.table.id, audit.table.suggested, audit.table.given, audit.table["flags"], strict=True)
    return {
        id: Decision(_action(suggested, given), suggested) for id, suggested, given, flags in rows if is_trusted(flags)
    }


def _as_written(ids: Iterable[str]) -> dict[str, str]:
    """Return the ids by their spellings in a text file, in which some characters are escaped."""
    known = {id.encode("utf-8", "backslashreplace").decode(): id for id in ids}
    return known | {id: id for id in ids}


def _checked(
    lines: Iterable[tuple[int, dict[str, str]]],
    path: Path,
    records: Mapping[str, Mapping[str, str | None]],
    class_names: tuple[str, ...] | None,
    advice: str,
) -> dict[str, Decision]:
    """Return the decisions by id. Raises DataError as `read_decisions` does.

    Parameters
    ----------
    lines : number and cells of each line.
    path : path of the file, for messages.
    records : the given and the suggested class of each id.
    class_names : the allowed classes; None allows every class.
    advice : end of the message about another class.
    """
    rows = _as_written(records)
    decisions: dict[str, Decision] = {}
    first: dict[str, int] = {}
    for line, cells in lines:
        where = f"line {line} of {path}"
        if cells["id"] not in rows:
            raise DataError(
                f"Expected ids of the audit, but '{cells['id']}' in {where} is none of its {len(records):,}. "
                "Give the audit that the decisions were made on."
            )
        id = rows[cells["id"]]
        decision = _decision(cells, records[id]["given"], records[id]["suggested"], where)
        if decision.label is not None and decision.label != records[id]["given"] and class_names is not None:
            _check_class(decision.label, class_names, where, advice)
        if decisions.setdefault(id, decision) != decision:
            raise DataError(
                f"Expected one decision on each image, but lines {first[id]} and {line} of {path} differ on '{id}': "
                f"{_words(decisions[id])}, and {_words(decision)}. Remove one of them."
            )
        first.setdefault(id, line)
    return decisions


def _decision(cells: Mapping[str, str], given: str | None, suggested: str | None, where: str) -> Decision:
    """Return the decision of a line. Raises DataError as `read_decisions` does."""
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


def _check_class(label: str, class_names: tuple[str, ...], where: str, advice: str) -> None:
    """Raise DataError if a label is not one of the classes."""
    if label in class_names:
        return
    near = difflib.get_close_matches(label, class_names, 1)
    hint = f"Did you mean '{near[0]}'? {advice[0].upper()}{advice[1:]}" if near else f"Fix it or, {advice}"
    raise DataError(
        f"Expected one of the {len(class_names):,} classes of the audit in {where}, but found '{label}'. {hint}"
    )


def _lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number and the cells of each line. The cells of a missing column are empty."""
    wanted = f"Expected decisions with the columns {', '.join(COLUMNS)} in {path}"
    try:
        text = read_bytes(path).decode("utf-8-sig")
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
                cells = dict.fromkeys(COLUMNS, "") | dict(zip(names, map(unguarded, row), strict=False))
                yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(f"{wanted}, but line {reader.line_num} is malformed: {error}.") from None


def _words(decision: Decision) -> str:
    """Return a decision as text, for messages."""
    return decision.action if decision.label is None else f"{decision.action} as '{decision.label}'"
