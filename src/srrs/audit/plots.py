"""The figures of the review page, as SVG inside HTML.

matplotlib draws a figure. Then the SVG is adapted to the page. Text stays text and gets the fonts of the page. Black
becomes the text color of the page (light or dark). Styles and scripts are removed, because the content security policy
forbids them. A text that describes the figure is added. The same audit gives the same bytes.
"""

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from srrs.io import printable
from srrs.records import Floats, Ints

COLORS = {"noisy": "#c9483c", "ambiguous": "#b8801a", "clean": "#3b86a3", "outside": "#8269b5"}
"""Colors of the statuses. Their contrast to the light and to the dark page is at least 3:1."""
WRONG, RIGHT = COLORS["noisy"], "#8a8f96"
"""Colors of labels with another suggested class, and of all other labels."""
SVG = "http://www.w3.org/2000/svg"
"""Namespace of SVG."""
XLINK = "http://www.w3.org/1999/xlink"
"""Namespace of links in SVG."""


def quality_histogram(scores: Mapping[str, Floats], band: tuple[float, float] | None, label: str = "quality") -> str:
    """Return a stacked histogram of the scores (0 to 1) of each status, as SVG.

    `band` are the bounds of the ambiguous band, and `label` is the name of the score.
    """
    figure, axes = _figure(6.4, 3.1)
    known = {status: values[~np.isnan(values)] for status, values in scores.items()}
    shown = {status: known[status] for status in COLORS if len(known.get(status, ()))}
    axes.hist(
        list(shown.values()) or [[]],
        bins=np.linspace(0, 1, 41).tolist(),
        stacked=True,
        color=[COLORS[status] for status in shown] or None,
        label=list(shown) or None,
        rwidth=0.9,
    )
    for value, words, side in zip(band or (), ("noisy below", "clean above"), ("right", "left"), strict=False):
        axes.axvline(value, color="black", linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate(
            f"{words} {value:.2f}",
            (value, 1.02),
            xycoords=("data", "axes fraction"),
            ha=side,
            annotation_clip=False,
        )
    axes.set_xlim(0, 1)
    axes.set_xlabel(f"{label} of the given label (0 worst, 1 best)")
    axes.set_ylabel("images")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    if len(shown) > 1:
        axes.legend(frameon=False, ncols=len(shown), loc="upper center", bbox_to_anchor=(0.5, -0.2))
    counts = ", ".join(f"{len(values):,} {status}" for status, values in shown.items()) or "no usable image"
    words = f"Histogram from 0 to 1 in 40 bars: {counts}."
    if band:
        words += f" Labels below {band[0]:.2f} count as noisy, labels above {band[1]:.2f} as clean."
    return _svg(figure, "histogram", f"How {label} is spread", words)


def noise_matrix(cells: Ints, class_names: Sequence[str], most: int = 20) -> str:
    """Return a matrix of the number of images by given class (rows) and suggested class (columns), as SVG.

    `cells` (K, 3) are given class, suggested class and number. Only the `most` classes with the most changes are drawn.
    """
    size = len(class_names)
    wrong = cells[cells[:, 0] != cells[:, 1]]
    changes = sum(np.bincount(wrong[:, side], wrong[:, 2], size) for side in (0, 1))
    drawn = np.sort(np.argsort(-changes, kind="stable")[:most])
    names = [_short(class_names[i]) for i in drawn]
    part = np.zeros((size if size < most else most,) * 2, dtype=np.int64)
    place = np.full(size, -1)
    place[drawn] = np.arange(len(drawn))
    given, suggested = place[cells[:, 0]], place[cells[:, 1]]
    inside = (given >= 0) & (suggested >= 0)
    part[given[inside], suggested[inside]] = cells[inside, 2]
    part_wrong = part * (1 - np.eye(len(part), dtype=np.int64))
    side = max(3.4, 0.27 * len(drawn) + 1.6)
    figure, axes = _figure(side, side)
    _cells(axes, part, part_wrong)
    ticks = np.arange(len(drawn)) + 0.5
    plain = {"parse_math": False}
    axes.set_xticks(ticks, names, rotation=45, ha="left", rotation_mode="anchor", **plain)
    axes.set_yticks(ticks, names, **plain)
    axes.xaxis.set_ticks_position("top")
    axes.tick_params(length=0)
    axes.set_xlabel("suggested")
    axes.set_ylabel("given")
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.spines[:].set_visible(False)
    cut = f" The {most} classes with most changes of {size} are drawn." if size > most else ""
    words = f"{int(wrong[:, 2].sum()):,} of {int(cells[:, 2].sum()):,} labels have another class suggested.{cut}"
    return _svg(figure, "matrix", "Given class against suggested class", f"{words} The table of pairs has the figures.")


def _cells(axes: Axes, counts: Ints, wrong: Ints) -> None:
    """Draw the cells of the matrix. Changes (`wrong`) are darker with a larger number."""
    top = max(int(wrong.max(initial=0)), 1)
    for row, column in np.argwhere(counts > 0):
        off = row != column
        depth = 0.12 + 0.63 * wrong[row, column] / top if off else 0.18
        axes.add_patch(
            matplotlib.patches.Rectangle(
                (column + 0.03, row + 0.03), 0.94, 0.94, color=WRONG if off else RIGHT, alpha=depth, linewidth=0
            )
        )
        axes.text(column + 0.5, row + 0.5, str(counts[row, column]), ha="center", va="center", fontsize=7.5)
    axes.set_xlim(0, len(counts))
    axes.set_ylim(0, len(counts))


def _short(name: str, most: int = 16) -> str:
    """Return a name, shortened to `most` characters."""
    name = printable(name)
    return name if len(name) <= most else name[: most - 1] + "…"


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    """Return an empty figure of this size in inches."""
    figure = Figure(figsize=(width, height))
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Figure, name: str, title: str, words: str) -> str:
    """Return the figure as an <svg> element with a title and a description (`words`) for screen readers."""
    settings = {"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 9}
    bare = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    text = io.StringIO()
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # the page has fonts that matplotlib lacks
        figure.savefig(text, format="svg", transparent=True, metadata=bare, bbox_inches="tight", pad_inches=0.05)
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    root = ElementTree.fromstring(text.getvalue())
    _restyle(root)
    width = float(root.get("viewBox", "").split()[2])
    for key in ("height", "version"):
        root.attrib.pop(key, None)
    root.attrib |= {"width": f"{1.1 * width:.0f}"}
    root.attrib |= {"role": "img", "class": f"figure {name}", "aria-labelledby": f"{name}-title {name}-desc"}
    for kind, content in (("desc", words), ("title", title)):
        element = ElementTree.Element(f"{{{SVG}}}{kind}", {"id": f"{name}-{kind}"})
        element.text = content
        root.insert(0, element)
    return ElementTree.tostring(root, encoding="unicode")


def _restyle(root: ElementTree.Element) -> None:
    """Replace style attributes by presentation attributes, and remove attributes that only matplotlib needs."""
    source = ElementTree.tostring(root, encoding="unicode")
    used = set(re.findall(r'(?:url\(|href=")#([\w.-]+)', source))
    for element in root.iter():
        for style in element.findall(f"{{{SVG}}}style"):
            element.remove(style)
        for declaration in filter(None, element.attrib.pop("style", "").split(";")):
            key, _, value = (part.strip() for part in declaration.partition(":"))
            if key != "font-family":
                element.set(key, "currentColor" if value == "#000000" else value)
        if element.tag == f"{{{SVG}}}text" and "fill" not in element.attrib:
            element.set("fill", "currentColor")
        if element.get("id") not in used:
            element.attrib.pop("id", None)
