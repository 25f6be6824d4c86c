"""Panels, legends and files of figures. Equal figures result in equal files."""

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from srrs.errors import SettingsError
from srrs.io import write_atomic

T = TypeVar("T")


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure as SVG or PNG, depending on the suffix of the path, and return the path.

    Equal figures result in equal files. Raises SettingsError for another suffix, and DataError if the file cannot be
    written.
    """
    path, out = Path(path), io.BytesIO()
    kind = path.suffix.lower().lstrip(".")
    if kind not in ("svg", "png"):
        raise SettingsError(f"Expected a figure as .svg or .png, but found {path.name}.")
    bare: dict[str, Any] = {"Software": None} if kind == "png" else dict.fromkeys(("Date", "Creator"))
    with matplotlib.rc_context({"svg.hashsalt": "srrs", "svg.fonttype": "path"}):
        figure.savefig(out, format=kind, metadata=bare, dpi=160)
    return write_atomic(path, out.getvalue())


def make_panels(rows: int, columns: int, width: float, height: float) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure and its panels, `panels[row][column]`, with space for a legend at the right.

    Each panel is `width` by `height` inches.
    """
    figure = Figure(figsize=(width * columns + 1.6, height * rows + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False, sharey="row")
    for axes in panels.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    return figure, panels.tolist()


def each_panel(row: Sequence[Axes], things: Sequence[T]) -> Iterator[tuple[Axes, T]]:
    """Yield each panel of a row with one of `things`, the objects to draw. Hide the panels that are not used."""
    for axes in row[len(things) :]:
        axes.set_visible(False)
    yield from zip(row, things, strict=False)


def entitle(axes: Axes, name: str, above: str) -> None:
    """Write `name` as the title of a panel and, if `above` is not empty, `above` in lines before it."""
    figure = axes.get_figure(root=True)
    lines = wrap(above, int(12 * figure.get_figwidth())) if figure and above else []
    axes.set_title("\n".join([*lines, name]), loc="left", fontsize=9, parse_math=False)


def noise_name(kind: str) -> str:
    """Return the name of a kind of noise for readers."""
    return {"sym": "symmetric noise", "pair": "pair noise"}.get(kind, f"{kind} noise")


def add_legend(figure: Figure, styles: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    """Draw a legend beside the panels: a line with each of `styles` (arguments of `Line2D`), and its name."""
    handles = [Line2D([], [], **style) for style in styles]
    box = figure.legend(handles, names, loc="outside right upper", frameon=False, fontsize=8, handlelength=2.6)
    for text in box.get_texts():
        text.set_parse_math(False)
