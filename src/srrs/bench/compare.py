"""The table of our runs beside comparable published accuracies, with a remark for each difference in conditions."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd

from srrs.bench.anchors import PUBLISHED, Anchor, anchors, backbone, plain
from srrs.bench.cells import cell_name
from srrs.bench.records import Record
from srrs.bench.render import Entry, Shown, blocks, draw, each, number
from srrs.bench.table import table

COLUMNS = (
    *("table", "row", "noise_kind", "noise_rate", "ours", "spread", "n"),
    *("published_as", "published", "difference", "apart", "source"),
)
"""Columns of `Comparison.table`."""


class Comparison(NamedTuple):
    """The accuracies of our runs, published accuracies, and remarks on differences in the conditions."""

    table: pd.DataFrame
    """Columns `COLUMNS`, accuracies from 0 to 1. `difference` is our accuracy minus the published one. If the published
    accuracies are for other conditions, `apart` names what differs, and `difference` is empty."""
    remarks: dict[str, list[str]]
    """For each title of a table, one line for each difference between our conditions and the published ones."""


def compare(records: Iterable[Record], published: Sequence[Anchor] | None = None) -> Comparison:
    """Compare the accuracies of our runs with published ones of the same dataset, protocol and noise.

    If the backbone, the number of classes or the shots differ, the published accuracies are in separate rows, and the
    remarks name the difference. Accuracies of another protocol are never shown. Raises the errors of `table`.

    Parameters
    ----------
    records : our runs.
    published : the published accuracies; by default those of `anchors`.
    """
    published = anchors() if published is None else published
    rows: list[tuple[Any, ...]] = []
    remarks: dict[str, list[str]] = {}
    for title, part in table(records, metrics=("accuracy",)).groupby("table", sort=False):
        first = next(each(part))
        same = [a for a in published if plain(a.dataset) == plain(str(first.dataset))]
        fair = _nearest(first, [a for a in same if a.protocol == first.protocol])
        apart, remarks[str(title)] = _differences(first, same, fair)
        numbers = {(a.method, cell_name(a.noise_kind, a.noise_rate)): a for a in fair}
        remarks[str(title)] += _gaps(part, numbers) if fair and not apart else []
        rows += _beside(part, numbers, apart)
    return Comparison(pd.DataFrame(rows, columns=list(COLUMNS)), remarks)


def _nearest(ours: Any, fair: Sequence[Anchor]) -> list[Anchor]:
    """Return the published accuracies whose conditions differ from ours in the fewest fields.

    These fields are the backbone, the number of classes and the shots. If several sets of fields are equally small, the
    accuracies with the same difference as the first are returned.
    """
    best = min((_unlike(ours, a) for a in fair), key=len, default=None)
    return [a for a in fair if _unlike(ours, a) == best]


def _unlike(ours: Any, theirs: Anchor) -> dict[str, tuple[Any, Any]]:
    """Return our value and the published value of each of the three fields that differ."""
    pairs = {
        "backbone": (backbone(ours.model), theirs.backbone),
        "number of classes": (ours.classes, theirs.classes),
        "number of shots": ("all" if pd.isna(ours.shots) else ours.shots, theirs.shots),
    }
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _differences(ours: Any, same: Sequence[Anchor], fair: Sequence[Anchor]) -> tuple[str, list[str]]:
    """Return how the conditions of the published accuracies differ from ours, as a short text and as remarks."""
    if not same:
        return "", [f"data set: there are no published numbers for {ours.dataset}"]
    if not fair:
        others = ", ".join(sorted({a.protocol for a in same}))
        return "", [f"protocol: ours is {ours.protocol}, the published numbers are only for {others}; not shown"]
    unlike = _unlike(ours, fair[0])
    remarks = [f"{name}: ours is {mine}, the published one {other}" for name, (mine, other) in unlike.items()]
    if not unlike and ours.protocol == "fp-injection" and not ours.as_published:
        remarks.append("lists: ours are drawn without the faults of the published generator (see --as-published)")
    return ", ".join(f"another {name}" for name in unlike), remarks


def _gaps(part: pd.DataFrame, numbers: dict[tuple[str, str], Anchor]) -> Iterator[str]:
    """Yield a remark on noise, and one on methods, without published accuracies."""
    noise = dict.fromkeys(cell_name(c.noise_kind, c.noise_rate) for c in each(part))
    if lacking := [name for name in noise if name not in {cell for _, cell in numbers}]:
        yield f"noise without a published number: {', '.join(lacking)}"
    if lacking := [m for m in dict.fromkeys(part["method"]) if PUBLISHED.get(m) not in {name for name, _ in numbers}]:
        yield f"methods without a published number: {', '.join(lacking)}"


def _beside(part: pd.DataFrame, numbers: dict[tuple[str, str], Anchor], apart: str) -> Iterator[tuple[Any, ...]]:
    """Yield rows with columns `COLUMNS`: our cells with their published accuracies, then the other published ones.

    Of the others, only those for noise of our runs are included. With `apart`, no published accuracy is beside ours.
    """
    used = set()
    for c in each(part):
        key = (PUBLISHED.get(c.method, ""), cell_name(c.noise_kind, c.noise_rate))
        theirs = None if apart else numbers.get(key)
        used |= {key} if theirs else set()
        found = (theirs.method, theirs.accuracy, c.mean - theirs.accuracy, "", theirs.source) if theirs else ()
        yield (c.table, c.row, c.noise_kind, c.noise_rate, c.mean, c.spread, c.n, *(found or ("", None, None, "", "")))
    ran = {cell_name(c.noise_kind, c.noise_rate) for c in each(part)}
    for key, a in numbers.items():
        if key[1] in ran and key not in used:
            ours = (part["table"].iloc[0], "", a.noise_kind, a.noise_rate, None, None, 0)
            yield (*ours, a.method, a.accuracy, None, apart, a.source)


def render_comparison(comparison: Comparison, format: str = "text") -> str:
    """Render the result of `compare` as `text`, `markdown`, `latex` or `csv`. CSV contains all numbers, but no remarks.

    Raises SettingsError for another format.
    """
    if format == "csv":
        return comparison.table.to_csv(index=False, float_format="%.9g", lineterminator="\n")
    lead = "% " if format == "latex" else "- "
    parts = []
    for title, part in comparison.table.groupby("table", sort=False):
        sources = sorted(set(part["source"]) - {""})
        lines = [*comparison.remarks[str(title)], *(f"source: {source}" for source in sources)]
        parts.append(draw(list(_grids(str(title), part)), format) + "\n" + "".join(f"{lead}{line}\n" for line in lines))
    return "\n".join(parts)


def _grids(title: str, part: pd.DataFrame) -> Iterator[Shown]:
    """Yield a table of our accuracies with comparable published ones and, if there are others, a table of these."""
    together = part[part["apart"] == ""]
    others = part[part["apart"] != ""]
    caption = "accuracy, %; ours: mean ± sample standard deviation over seeds"
    for columns in blocks(part):
        header = ["method", *columns]
        yield Shown(title, caption, header, list(_rows(together, columns)))
        if len(others):
            yield Shown(
                f"published, {others['apart'].iloc[0]}", "accuracy, %", header, list(_rows(others, columns, ""))
            )


def _rows(part: pd.DataFrame, columns: Sequence[str], prefix: str = "published ") -> Iterator[list[Entry]]:
    """Yield rendered rows: each row of ours, followed by the published one and the difference; then the others."""

    def line(label: str, texts: dict[str, str]) -> list[Entry]:
        return [Entry(label), *(Entry(texts.get(column, "–")) for column in columns)]

    ours, others = part[part["row"] != ""], part[part["row"] == ""]
    for row, block in ours.groupby("row", sort=False):
        found = block.dropna(subset="published")
        yield line(str(row), _texts(block, "ours", "spread"))
        if len(found):
            yield line(f"{prefix}{found['published_as'].iloc[0]}", _texts(found, "published"))
            yield line("difference", _texts(found, "difference", sign="+"))
    for name, block in others.groupby("published_as", sort=False):
        yield line(f"{prefix}{name}", _texts(block, "published"))


def _texts(block: pd.DataFrame, column: str, spread: str | None = None, *, sign: str = "") -> dict[str, str]:
    """Return the value of a column in percent as text, by the name of the noise; with the spread if it is given."""
    return {
        cell_name(c.noise_kind, c.noise_rate): number(getattr(c, column), sign=sign)
        + (f" ± {number(getattr(c, spread))}" if spread and not pd.isna(getattr(c, spread)) else "")
        for c in each(block)
    }
