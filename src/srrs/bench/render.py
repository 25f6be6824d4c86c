"""Functions that render the long table of `table` as text, markdown, LaTeX or CSV.

There is a row per method and a column per noise setting. The best number of each column is marked.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from srrs.bench.cells import cell_name, noise_order
from srrs.bench.table import METRICS, against_best
from srrs.errors import SettingsError

WIDE = 8
"""If a table has more noise settings than this, each kind of noise is in a separate table."""
_LATEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"±": r"$\pm$", "−": "$-$", "–": "--", "≈": r"$\approx$", "<": "$<$", ">": "$>$"}
)


class Entry(NamedTuple):
    """One cell of a rendered table."""

    text: str
    """The content."""
    best: bool = False
    """Whether the number is the best of its column."""
    tied: bool = False
    """Whether the number does not differ significantly from the best of its column."""


class Shown(NamedTuple):
    """A table that is ready to be rendered."""

    title: str
    """Title of the table."""
    caption: str
    """Description of the numbers."""
    header: list[str]
    """Names of the columns."""
    rows: list[list[Entry]]
    """The entries of each row, one per column."""
    text_columns: int = 1
    """Number of columns at the left that contain text. The others contain numbers."""


def render(frame: pd.DataFrame, format: str = "text", *, intervals: bool = False) -> str:
    """Return the result of `table` as `text`, `markdown`, `latex` or `csv`. CSV contains all columns.

    `intervals` adds the 95 % interval to every number that has one. Raises SettingsError for another format.
    """
    if format == "csv":
        return frame.to_csv(index=False, float_format="%.9g", lineterminator="\n")
    return draw(list(grids(frame, intervals=intervals)), format)


def render_differences(frame: pd.DataFrame, format: str = "text") -> str:
    """Return the result of `paired` as `text`, `markdown`, `latex` or `csv`. CSV contains all other methods.

    The other formats have a table per metric, with one row per noise setting: our method, the best other method, and
    the difference with its interval. Raises SettingsError for another format.
    """
    if format == "csv":
        return frame.to_csv(index=False, float_format="%.9g", lineterminator="\n")
    shown = []
    for (title, metric), part in against_best(frame).groupby(["table", "metric"], sort=False):
        ordered = sorted(each(part), key=lambda c: noise_order(c.noise_kind, c.noise_rate))
        header = ["noise", "best other method", "seeds", "ours", "other", "difference"]
        caption = (
            f"{METRICS[str(metric)].title}; difference from the best other method; [paired 95 % bootstrap interval]"
        )
        shown.append(Shown(str(title), caption, header, [_compared(c) for c in ordered], text_columns=2))
    return draw(shown, format)


def _compared(cell: Any) -> list[Entry]:
    """Return the row of a noise setting: the best other method, and our difference from it."""
    ends = "" if np.isnan(cell.low) else f" [{number(cell.low, sign='+')}, {number(cell.high, sign='+')}]"
    return [
        Entry(cell_name(cell.noise_kind, cell.noise_rate)),
        Entry(str(cell.other)),
        Entry(str(cell.n)),
        Entry(number(cell.ours), best=cell.mean > 0),
        Entry(number(cell.theirs), best=cell.mean < 0),
        Entry(number(cell.mean, sign="+") + ends),
    ]


def draw(shown: Sequence[Shown], format: str) -> str:
    """Return several tables as `text`, `markdown` or `latex`. Raises SettingsError for another format."""
    if format not in _STYLES:
        raise SettingsError(f"Expected a format of {', '.join(_STYLES)} or csv, but found {format!r}.")
    return "\n".join(_STYLES[format](grid) for grid in shown)


def grids(frame: pd.DataFrame, *, intervals: bool = False) -> Iterator[Shown]:
    """Yield one table per title and metric. With many noise settings, there is one per kind of noise."""
    for (title, metric), part in frame.groupby(["table", "metric"], sort=False):
        for columns in blocks(part):
            yield _grid(str(title), str(metric), part, columns, intervals)


def blocks(part: pd.DataFrame) -> Iterator[list[str]]:
    """Yield the names of the columns (`sym:0.25`, ...) of each rendered table: of one, or of one per kind of noise."""
    noise = sorted(
        {(c.noise_kind, c.noise_rate) for c in each(part[["noise_kind", "noise_rate"]].drop_duplicates())},
        key=lambda at: noise_order(*at),
    )
    for _, block in groupby(noise, key=lambda at: at[0]) if len(noise) > WIDE else [("", iter(noise))]:
        yield [cell_name(*at) for at in block]


def _grid(title: str, metric: str, part: pd.DataFrame, columns: Sequence[str], intervals: bool) -> Shown:
    """Return the rendered table of one metric, with the rows that have a number in one of the columns."""
    seeds = int(part["n"].max())
    told = bool((part["needs"] != "").any())
    rows = []
    for (name, needs), row in part.groupby(["row", "needs"], sort=False):
        at = {cell_name(c.noise_kind, c.noise_rate): _entry(c, metric, seeds, intervals) for c in each(row)}
        if any(column in at for column in columns):
            words = [Entry(str(name))] + ([Entry(str(needs))] if told else [])
            rows.append(words + [at.get(column, Entry("–")) for column in columns])
    header = ["method"] + (["must be told"] if told else []) + list(columns)
    return Shown(title, _caption(metric, seeds, rows), header, rows, text_columns=1 + told)


def _entry(cell: Any, metric: str, seeds: int, intervals: bool) -> Entry:
    """Return the entry of a cell: the mean, its spread and, with `intervals`, its interval.

    If the cell has fewer runs than `seeds`, their number is added.
    """
    if not cell.n:
        return Entry("–")
    scale, digits = METRICS[metric].scale, METRICS[metric].digits
    text = number(cell.mean, scale, digits)
    if not np.isnan(cell.spread):
        text += f" ± {number(cell.spread, scale, digits)}"
    if intervals and not np.isnan(cell.low):
        text += f" [{number(cell.low, scale, digits)}, {number(cell.high, scale, digits)}]"
    if cell.n < seeds:
        text += f" (n {cell.n})"
    return Entry(text, bool(cell.best), bool(cell.tied))


def each(frame: pd.DataFrame) -> Iterator[Any]:
    """Yield the rows of a data frame, with the columns as attributes."""
    yield from frame.itertuples()


def number(value: float, scale: float = 100, digits: int = 1, *, sign: str = "") -> str:
    """Return a number as text, multiplied by `scale`: 0.6123 becomes 61.2.

    Negative numbers begin with a minus sign. With `sign="+"`, the others begin with a plus sign.
    """
    return f"{scale * value:{sign}.{digits}f}".replace("-", "−")


def _caption(metric: str, seeds: int, rows: list[list[Entry]]) -> str:
    """Return the caption of a table, which explains the numbers and marks."""
    words = [METRICS[metric].title]
    words.append(f"mean ± sample standard deviation over {seeds} seeds" if seeds > 1 else "one seed")
    if any("[" in entry.text for row in rows for entry in row[1:]):
        words.append(f"[95 % bootstrap interval over images{' and seeds' if seeds > 1 else ''}]")
    if any(entry.tied for row in rows for entry in row):
        words.append("≈: not significantly different from the best (paired bootstrap, 95 %)")
    return "; ".join(words)


def _text(grid: Shown) -> str:
    """Return a table as text with aligned columns."""
    shown = [[e.text + " *" * e.best + " ≈" * e.tied for e in row] for row in grid.rows]
    best = "; *: best" if any(entry.best for row in grid.rows for entry in row) else ""
    width = [max(map(len, column)) for column in zip(grid.header, *shown, strict=True)]
    lines = [grid.header, ["-" * w for w in width], *shown]
    body = ["  ".join(f"{text:<{w}}" for text, w in zip(line, width, strict=True)).rstrip() for line in lines]
    return "\n".join([grid.title, grid.caption + best, "", *body, ""])


def _markdown(grid: Shown) -> str:
    """Return a table as Markdown."""

    def escaped(text: str) -> str:
        return re.sub(r"([\\|*_`<])", r"\\\1", " ".join(text.split()))

    def shown(entry: Entry) -> str:
        return (f"**{escaped(entry.text)}**" if entry.best else escaped(entry.text)) + " ≈" * entry.tied

    sides = ["---"] * grid.text_columns + ["---:"] * (len(grid.header) - grid.text_columns)
    lines = [[escaped(text) for text in grid.header], sides, *([shown(entry) for entry in row] for row in grid.rows)]
    body = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([f"**{escaped(grid.title)}**", "", escaped(grid.caption), "", *body, ""])


def _latex(grid: Shown) -> str:
    """Return a table as LaTeX, which needs the package booktabs."""

    def escaped(text: str) -> str:
        return text.translate(_LATEX)

    def shown(entry: Entry) -> str:
        text = escaped(entry.text)
        return (rf"\textbf{{{text}}}" if entry.best else text) + r" $\approx$" * entry.tied

    lines = [[escaped(text) for text in grid.header], *([shown(entry) for entry in row] for row in grid.rows)]
    header, *body = [" & ".join(line) + r" \\" for line in lines]
    columns = "l" * grid.text_columns + "r" * (len(grid.header) - grid.text_columns)
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{escaped(grid.title)}. {escaped(grid.caption)}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            *(r"\toprule", header, r"\midrule", *body, r"\bottomrule"),
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


_STYLES: dict[str, Callable[[Shown], str]] = {"text": _text, "markdown": _markdown, "latex": _latex}
