"""Figures of runs, drawn with matplotlib. Equal runs result in equal files."""

import csv
import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from srrs.bench.canvas import add_legend, each_panel, entitle, make_panels, noise_name
from srrs.bench.cells import Cell, cells, noise_order
from srrs.bench.records import HISTORY, PARTITION, SAMPLES, Record, Records
from srrs.bench.table import METRICS, table
from srrs.errors import DataError

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Colors of Okabe and Ito, which color-blind readers can distinguish. With more than seven lines, dashes differ,
too."""
DASHES: tuple[Any, ...] = ("-", (0, (4, 2)), (0, (1, 1.5)))
"""Line styles of matplotlib. The first is used for seven lines, then the second, then the third."""
MARKERS = "osD^vPX"
"""Markers of matplotlib, one for each color."""
GROUPS = {"clean": "#0072B2", "ambiguous": "#999999", "noisy": "#D55E00", "outside": "#CC79A7"}
"""Color of each group of samples after screening."""


def accuracy_figure(
    records: Iterable[Record], metric: str = "accuracy", *, methods: Sequence[str] | None = None
) -> Figure:
    """Draw a metric over the noise rate. There is a row of panels per table, a panel per kind of noise, a line per row.

    The band around a line is the 95 % interval of `table` for accuracy and macro-F1. For other metrics, it is the mean
    plus and minus the standard deviation over seeds. Runs without noise are shown in every panel.

    Parameters
    ----------
    records : the runs.
    metric : a name in `srrs.bench.table.METRICS`.
    methods : the methods to include; by default all.

    Raises
    ------
    DataError
        No run has a noise rate and a value of the metric; or an error of `table`.
    SettingsError
        The metric is unknown.
    """
    frame = table(records, metrics=(metric,), methods=methods).dropna(subset=["noise_rate", "mean"])
    if frame.empty:
        raise DataError(f"Expected runs with a noise rate and a figure for {metric}, but found none.")
    rows = list(dict.fromkeys(frame["row"]))
    parts = {str(title): part for title, part in frame.groupby("table", sort=False)}
    figure, panels = make_panels(len(parts), max(len(_kinds(part)) for part in parts.values()), 4.6, 3.6)
    for row, (title, part) in zip(panels, parts.items(), strict=True):
        for axes, kind in each_panel(row, _kinds(part)):
            here = part[(part["noise_kind"] == kind) | (part["noise_rate"] == 0)]
            _lines(axes, here.sort_values("noise_kind", key=lambda at: at != kind, kind="stable"), rows, metric)
            entitle(axes, noise_name(kind), title if axes is row[0] else "")
        row[0].set_ylabel(METRICS[metric].title)
    add_legend(figure, [_style(k, name) for k, name in enumerate(rows)], rows)
    return figure


def _kinds(part: pd.DataFrame) -> list[str]:
    """Return the kinds of noise with a rate above 0, or all kinds if there are none."""
    kinds = set(part.loc[part["noise_rate"] > 0, "noise_kind"]) or set(part["noise_kind"])
    return sorted(kinds, key=lambda kind: noise_order(kind, None))


def _lines(axes: Axes, part: pd.DataFrame, rows: Sequence[str], metric: str) -> None:
    """Draw a line with its band for each row of one panel."""
    scale = METRICS[metric].scale
    for k, name in enumerate(rows):
        line = part[part["row"] == name].drop_duplicates("noise_rate").sort_values("noise_rate")
        mean, spread = line["mean"], line["spread"].fillna(0)
        low, high = line["low"].fillna(mean - spread), line["high"].fillna(mean + spread)
        style = _style(k, name)
        axes.plot(100 * line["noise_rate"], scale * mean, **style)
        axes.fill_between(
            100 * line["noise_rate"],
            scale * low,
            scale * high,
            color=style["color"],
            alpha=0.6 / max(5, len(rows)),
            linewidth=0,
        )
    axes.set_xlabel("wrong labels, %")
    axes.grid(color="#dddddd", linewidth=0.6)


def _style(k: int, name: str) -> dict[str, Any]:
    """Return the arguments of `plot` for line k of a figure, which belongs to the row `name`."""
    style = {"color": COLORS[k % 7], "marker": MARKERS[k % 7], "linestyle": DASHES[k // 7 % 3]}
    return style | {"markersize": 4, "linewidth": 2.4 if name == "srrs" else 1.2}


def noise_figure(found: Records, *, methods: Sequence[str] | None = None) -> Figure:
    """Draw the noise of the rectified labels over training. There is a row of panels per method, a line per noise rate.

    A line is the mean over seeds, and its band reaches from the smallest to the largest value. The dashed line of the
    same color is the noise of the given labels. Methods that change no label are left out.

    Parameters
    ----------
    found : the runs, with their folders.
    methods : the methods to include; by default all.

    Raises
    ------
    DataError
        No run folder has a history of changed labels.
    """
    members = [cell for cell in cells(found.records, methods=methods) if any(_changes(run) for run in cell.runs)]
    drawn = [(cell, lines) for cell in members if (lines := _histories(cell, found))]
    if not drawn:
        raise DataError(f"Expected run folders with {HISTORY} of a method that rectifies labels, but found none.")
    names = list(dict.fromkeys((cell.table, cell.row) for cell, _ in drawn))
    kinds = sorted({cell.kind for cell, _ in drawn}, key=lambda kind: noise_order(kind, None))
    figure, panels = make_panels(len(names), len(kinds), 4.6, 2.8)
    for cell, lines in drawn:
        axes = panels[names.index((cell.table, cell.row))][kinds.index(cell.kind)]
        _history(axes, lines, _given(cell), _rate_color(cell))
    for row, (title, name) in zip(panels, names, strict=True):
        row[0].set_ylabel("wrong labels, %")
        row[0].set_ylim(bottom=0)
        for axes, kind in zip(row, kinds, strict=True):
            axes.set_xlabel("step")
            entitle(axes, f"{name}, {noise_name(kind)}", title if axes is row[0] else "")
    shown = dict(sorted((_rate(cell), _rate_color(cell)) for cell, _ in drawn))
    styles = [{"color": color, "marker": "o", "markersize": 3} for color in shown.values()]
    add_legend(figure, styles, [f"{100 * rate:.3g} % given" for rate in shown])
    return figure


def _changes(run: Record) -> bool:
    """Return whether the rectified labels of a run have another noise rate than its given labels."""
    known = run.noise_rectified is not None and run.noise_given is not None
    return known and run.noise_rectified != run.noise_given


def _histories(cell: Cell, found: Records) -> list[dict[int, float]]:
    """Return the noise of the rectified labels by step, for each run of the cell that has a history."""
    folders = [found.folders[run.digest] for run in cell.runs if run.digest in found.folders]
    return [line for folder in folders if (line := _history_of(folder / HISTORY))]


def _history_of(path: Path) -> dict[int, float]:
    """Read the noise of the rectified labels by step from a history. Truncated lines are left out."""
    line: dict[int, float] = {}
    for text in path.read_bytes().split(b"\n") if path.is_file() else ():
        try:
            entry = json.loads(text)
            line[int(entry["step"])] = float(entry["noise_rectified"])
        except (ValueError, KeyError, TypeError):
            continue
    return line


def _history(axes: Axes, lines: Sequence[dict[int, float]], given: float, color: Any) -> None:
    """Draw the histories of one cell, and its noise rate of the given labels (0 to 1)."""
    steps = sorted(set.intersection(*(set(line) for line in lines)))
    values = 100 * np.array([[line[step] for step in steps] for line in lines])
    axes.plot(steps, values.mean(0), color=color, marker="o", markersize=3, linewidth=1.6)
    axes.fill_between(steps, values.min(0), values.max(0), color=color, alpha=0.15, linewidth=0)
    axes.axhline(100 * given, color=color, linewidth=0.9, linestyle=(0, (4, 3)))


def _given(cell: Cell) -> float:
    """Return the mean noise rate of the given labels over the runs of a cell."""
    return float(np.mean([run.noise_given for run in cell.runs if run.noise_given is not None]))


def _rate(cell: Cell) -> float:
    """Return the noise rate of a cell; for labels of people or of the web, the measured rate, rounded to 0.01."""
    return round(_given(cell), 2) if cell.rate is None else cell.rate


def _rate_color(cell: Cell) -> Any:
    """Return the color for the noise rate of a cell."""
    return matplotlib.colormaps["cividis"](0.9 * _rate(cell))


class Screened(NamedTuple):
    """The screening of N images: their scores, thresholds and groups."""

    score: str
    """Name of the score: `p_clean`, or the score to which the thresholds belong, such as `loss`."""
    values: Any
    """(N,) scores."""
    bounds: Any
    """(G, 2) lower and upper thresholds: one pair, or one per class. G = 0 if no single score separates the groups."""
    groups: Any
    """(N,) names of `GROUPS`."""


def histogram_figure(found: Records, method: str = "srrs") -> Figure:
    """Draw the screening score of one method by group. There is a row of panels per kind of noise, a panel per rate.

    Thresholds are drawn if they separate the groups by this score. Of each cell, the run with the lowest seed that has
    a partition is drawn.

    Parameters
    ----------
    found : the runs, with their folders.
    method : title of the row to draw, which is the method if its runs do not differ in settings.

    Raises
    ------
    DataError
        No folder of the method's runs has a partition.
    """
    drawn = [(cell, seen) for cell in cells(found.records) if cell.row == method and (seen := _screened(cell, found))]
    if not drawn:
        raise DataError(f"Expected run folders of {method} with {PARTITION}, but found none.")
    blocks = [list(block) for _, block in groupby(drawn, key=lambda at: (at[0].table, at[0].kind))]
    figure, panels = make_panels(len(blocks), max(map(len, blocks)), 2.9, 2.3)
    for row, block in zip(panels, blocks, strict=True):
        for axes, (cell, seen) in each_panel(row, block):
            _histogram(axes, seen)
            entitle(axes, cell.name, f"{method}: {cell.table}" if axes is row[0] else "")
        row[0].set_ylabel("images")
        row[0].set_ylim(bottom=0)
    shown = [group for group in GROUPS if any(group in seen.groups for _, seen in drawn)]
    add_legend(figure, [{"color": GROUPS[group], "linewidth": 6} for group in shown], shown)
    return figure


def _screened(cell: Cell, found: Records) -> Screened | None:
    """Return the screening of the first run that has one in its folder; None if there is none."""
    for folder in (found.folders[run.digest] for run in cell.runs if run.digest in found.folders):
        try:
            content = json.loads((folder / PARTITION).read_bytes())
            score = str(content.get("score", "p_clean"))
            values, bounds = np.asarray(content[score], float), np.asarray(content["thresholds"], float)
            bounds = bounds if bounds.size else np.empty((0, 2))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if values.ndim == 1 and len(values) and bounds.ndim == 2 and bounds.shape[1] == 2:
            groups = _statuses(folder / SAMPLES)
            if len(groups) == len(values):
                return Screened(score, values, bounds, groups)
            if len(bounds):
                return Screened(score, values, bounds, _parted(score, values, bounds))
    return None


def _statuses(path: Path) -> Any:
    """Return the groups of all samples from `samples.csv`; an empty array if there is no file."""
    if not path.is_file():
        return np.array([])
    with path.open(encoding="utf-8", newline="") as file:
        return np.array([row.get("status") or "" for row in csv.DictReader(file)])


def _parted(score: str, values: Any, bounds: Any) -> Any:
    """Return the groups (N,) that result from one pair of thresholds. With several pairs, their median is used."""
    low, high = np.median(bounds, 0)
    below, above = ("clean", "noisy") if score == "loss" else ("noisy", "clean")
    return np.where(values < low, below, np.where(values >= high, above, "ambiguous"))


def _histogram(axes: Axes, seen: Screened) -> None:
    """Draw the stacked histogram of a screening, and its thresholds.

    Several pairs of thresholds are drawn as their median and their range. One pair is drawn only if it results in the
    groups of more than 99 % of the samples.
    """
    edges = np.linspace(min(0.0, seen.values.min()), max(1.0, seen.values.max()), 31)
    floor = np.zeros(30)
    axes.use_sticky_edges = False
    for group, color in GROUPS.items():
        heights = np.histogram(seen.values[seen.groups == group], edges)[0]
        axes.bar(edges[:-1], heights, np.diff(edges) * 0.92, floor, align="edge", color=color)
        floor = floor + heights
    several = len(seen.bounds) > 1
    if several or (len(seen.bounds) and (_parted(*seen[:3]) == seen.groups).mean() > 0.99):
        for of_classes in seen.bounds.T:
            axes.axvline(np.median(of_classes), color="black", linewidth=0.9, linestyle=(0, (4, 3)))
            if several:
                axes.axvspan(of_classes.min(), of_classes.max(), color="black", alpha=0.08, linewidth=0)
    axes.set_xlabel("screening loss" if seen.score == "loss" else "chance that the label is right")
