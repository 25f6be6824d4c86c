"""The review page: the audit as one HTML page that opens offline and needs no network.

Names of files and classes may come from other people. Jinja escapes them in HTML. In the JSON data, every character
that could end a script is escaped. The script of the page sets text, never markup. A content security policy allows
only the page's own script, its own style sheet and images on the same disk.
"""

import base64
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from srrs.audit.gallery import SIDE, Links, Thumbnail, gallery
from srrs.audit.plots import noise_matrix, quality_histogram
from srrs.audit.summary import STATUSES, percent
from srrs.data.images import open_rgb
from srrs.errors import DataError
from srrs.io import write_atomic
from srrs.records import Ints

if TYPE_CHECKING:
    from srrs.audit.table import Audit

JPEG_QUALITY = 85
"""Quality of the previews as JPEG."""
SCRIPTS = ("data.js", "decisions.js", "gallery.js", "panel.js", "chooser.js", "keys.js")
"""Scripts of the page, in the order of their dependencies."""


def write_report(
    audit: "Audit",
    path: str | os.PathLike[str],
    *,
    title: str,
    thumbnail: Thumbnail | None = None,
    root: str | os.PathLike[str] | None = None,
    photos: int,
    rows: int,
    first: Sequence[int] | Ints | None = None,
) -> Path:
    """Write the page and return its path. Arguments are those of `Audit.report`."""
    thumbnail = thumbnail or photo_reader(audit, root)
    links = Links(path, root)
    page = render(audit, title=title, thumbnail=thumbnail, photos=photos, rows=rows, first=first, links=links)
    return write_atomic(path, page.encode("utf-8", "backslashreplace"))


def render(
    audit: "Audit",
    *,
    title: str,
    thumbnail: Thumbnail,
    photos: int,
    rows: int,
    first: Sequence[int] | Ints | None = None,
    links: Links | None = None,
) -> str:
    """Return the page as text. Most arguments are those of `Audit.report`.

    `links` makes the URLs of image files. Without `links`, the page shows previews only.
    """
    templates = Environment(loader=PackageLoader("srrs.audit"), autoescape=True, undefined=StrictUndefined)
    style, script = _source(templates, "report.css"), _script(templates)
    summary = audit.summary()
    order = ranked(audit.table, first)[:rows]
    budget = 0 if first is None else len(first)
    data = gallery(audit, order, summary, thumbnail, photos, budget=budget, links=links)
    score, band = cut_score(audit)
    words = dict(zip(audit.class_names, audit.words, strict=False))
    return templates.get_template("report.html.j2").render(
        title=title,
        style=Markup(style),
        script=Markup(script),
        style_hash=_digest(style),
        script_hash=_digest(script),
        summary=summary,
        percent=percent,
        told=lambda label: label if words.get(label, label) == label else f"{label} ({words[label]})",
        used=_used(audit.settings),
        settings=list(_flat(audit.settings)),
        histogram=Markup(quality_histogram(_by_status(audit.table, score), band, score)),
        histogram_note=_histogram_note(score, band),
        matrix=Markup(noise_matrix(summary.cells, audit.class_names)),
        rule=_rule(len(order), summary.images, budget),
        budget=budget,
        findings=sorted(audit.findings, key=lambda finding: finding.level != "warning"),
        issues=_issues(audit.table),
        ranking="Most worth a look" if budget else "Lowest quality",
        data=_embedded(data),
    )


def ranked(table: pd.DataFrame, first: Sequence[int] | Ints | None = None) -> Ints:
    """Return all rows of the table: first those in `first`, then the others by quality, lowest first."""
    order = worst_first(table)
    if first is None:
        return order
    front = np.asarray(first, dtype=np.int64)
    return np.concatenate([front, order[~np.isin(order, front)]])


def worst_first(table: pd.DataFrame) -> Ints:
    """Return all rows of the table by quality, lowest first. Rows without quality come last."""
    return np.argsort(table.quality.to_numpy(), kind="stable")


def cut_score(audit: "Audit") -> tuple[str, tuple[float, float] | None]:
    """Return the score that the histogram shows, and the bounds of the ambiguous band in this score.

    If screening has no such score, the result is `quality` without bounds.
    """
    bands = audit.bands
    if bands is None or bands.score not in ("quality", "p_clean") or len(bands.lower) != 1:
        return "quality", None
    if audit.table[bands.score].isna().all():
        return "quality", None
    return bands.score, (bands.lower[0], bands.upper[0])


def photo_reader(audit: "Audit", root: str | os.PathLike[str] | None) -> Thumbnail:
    """Return a function that reads previews from the paths of the table. Relative paths refer to `root`."""
    paths = audit.table.path.tolist()
    return lambda row: photo(Path(root or ".") / paths[row]) if paths[row] else None


def photo(path: Path) -> bytes | None:
    """Return an image file as a small JPEG; None if it cannot be read."""
    try:
        return jpeg(open_rgb(path, at_least=SIDE // 2))
    except DataError:
        return None


def jpeg(image: Image.Image) -> bytes:
    """Return an image as a JPEG with sides of at most `SIDE` pixels, for the page."""
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return buffer.getvalue()


def _embedded(data: Mapping[str, Any]) -> Markup:
    """Return JSON in ASCII that can neither end the script element around it nor open a comment."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _by_status(table: pd.DataFrame, score: str) -> dict[str, np.ndarray]:
    """Return the scores of the images of each status."""
    return {status: table.loc[table.status == status, score].to_numpy() for status in STATUSES}


def _histogram_note(score: str, band: tuple[float, float] | None) -> str:
    """Return the sentences that explain the histogram."""
    meaning = {
        "quality": "Quality ranks the given labels, 0 worst.",
        "p_clean": "p_clean is the chance that a given label is right.",
    }[score]
    lines = "The dashed lines separate noisy, ambiguous and clean." if band else "The method cuts another score."
    return f"{meaning} {lines}"


def _rule(listed: int, images: int, budget: int) -> str:
    """Return one or two sentences about which images the page lists."""
    if budget:
        text = f"The {budget:,} images most worth a look come first."
    else:
        text = "The images of lowest quality come first."
    if listed < images:
        text += f" The page lists {listed:,} of {images:,} images; the audit table has the rest."
    return text


def _issues(table: pd.DataFrame) -> list[tuple[str, int]]:
    """Return the reasons why images could not be used, with the number of images, most frequent first."""
    reasons = table.issue[table.status == "unusable"].dropna().map(lambda issue: str(issue).split(":")[0])
    return [(str(reason), int(count)) for reason, count in reasons.value_counts().items()]


def _used(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the method, the model and the matcher, for the head of the page."""
    named = {"Method": settings.get("method"), "Model": settings.get("model"), "Matcher": settings.get("matcher")}
    return [(name, _words(value)) for name, value in named.items() if value or name == "Matcher"]


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield the names and values of settings, with dots in the names of nested settings."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", _words(value)


def _words(value: Any) -> str:
    """Return the value of a setting as text."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)


def _source(templates: Environment, name: str) -> str:
    """Return the text of a template."""
    assert templates.loader is not None
    return templates.loader.get_source(templates, name)[0].strip()


def _script(templates: Environment) -> str:
    """Return the scripts as one function, so that their names are private."""
    parts = "\n\n".join(_source(templates, name) for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n\n{parts}\n}})();'


def _digest(text: str) -> str:
    """Return the digest of a text in the form of a content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
