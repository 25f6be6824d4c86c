"""The data that the script of the review page reads: the listed rows, their previews, and images to compare with.

The page contains previews of as many images as fit. It shows the other images from their files, by links that are
relative to the page.
"""

import base64
import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from PIL import Image, features

from srrs.audit.flags import is_trusted, twins_of
from srrs.audit.rows import NUMBERS
from srrs.audit.summary import STATUSES, Summary, codes, finite
from srrs.core.blocks import ROWS
from srrs.core.keyed import Keys
from srrs.data.images import WORKERS, quiet
from srrs.mapped import gathered, release
from srrs.records import Ints

if TYPE_CHECKING:
    from srrs.audit.table import Audit

Thumbnail = Callable[[int], bytes | None]
"""Function from a row of the table to the bytes of its preview; None if there is no image."""
CODED = ("given", "suggested", "zero_shot")
"""Columns of class names, besides those of the tuners."""
NEAREST = 4
"""Number of clean images that the page shows for comparison."""
SIDE = 256
"""Longest side of a preview in pixels."""
SMALLER = (192, 128, 96)
"""Smaller sides of previews. They are used for rows whose image is not a file, if previews of the full size do not
fit."""
NEAR_SIDE = 72
"""Longest side of the images for comparison, in pixels."""
ROOM = 7_500_000
"""Largest number of bytes of the page's data with the previews. Figures and script need the rest of eight megabytes."""
NO_SCORE = -(2**62)
"""Score of an image that is not compared, in the search for the nearest images."""
PAIRS = 400
"""Largest number of pairs of given and suggested classes on the page."""


def gallery(
    audit: "Audit",
    order: Ints,
    summary: Summary,
    thumbnail: Thumbnail,
    photos: int,
    *,
    budget: int = 0,
    links: "Links | None" = None,
) -> dict[str, Any]:
    """Return the rows `order` of the table as JSON: one list per column, and previews of images.

    Parameters
    ----------
    audit : the audit.
    order : rows of the table in the order of the page.
    summary : the summary of the audit.
    thumbnail : function that returns the preview of a row.
    photos : number of rows at the beginning that get a preview. Rows whose image is not a file also get one.
    budget : number of rows at the beginning that a person should review.
    links : makes the URLs of image files; None for a page without links.
    """
    pictured = order[:photos]
    near = nearest_trusted(audit, pictured)
    columns = _columns(audit, order)
    root = _root(audit.table)
    columns["link"], prefix = links.of(audit.table.iloc[order], root) if links else ([None] * len(order), "")
    identity = [audit.class_names, *(columns[name] for name in ("id", "given", "suggested"))]
    index = {name: code for code, name in enumerate(audit.class_names)}
    data = {
        "storage": "srrs " + hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16],
        "root": root,
        "prefix": prefix,
        "budget": min(budget, len(order)),
        "classes": audit.class_names,
        "words": audit.words,
        "statuses": STATUSES,
        "pairs": [[index[pair.given], index[pair.suggested], pair.count] for pair in summary.pairs[:PAIRS]],
        "columns": columns,
        "tuned": audit.tuned,
        "twins": _twins(audit, order, links),
    }
    place = {row: at for at, row in enumerate(dict.fromkeys(row for row in near.ravel().tolist() if row >= 0))}
    shown = audit.table.given.where(~audit.table["flags"].map(is_trusted), audit.table.suggested)  # or the decision
    label = codes(shown, audit.class_names).tolist()
    of = [[[label[row], place[row]] for row in row_near if row >= 0] for row_near in near.tolist()]
    room = ROOM - len(json.dumps([data, of]))
    columns["photo"], small = _pictures(order.tolist(), columns["link"], photos, list(place), thumbnail, room)
    return data | {"nearest": {"of": of, "photos": small}}


class Links:
    """URLs of image files, relative to the folder of the page."""

    def __init__(self, page: str | os.PathLike[str], root: str | os.PathLike[str] | None):
        self._folder, self._root = os.path.dirname(os.path.abspath(page)), os.path.abspath(root or ".")

    def of(self, table: pd.DataFrame, common: str) -> tuple[list[str | int | None], str]:
        """Return the URL of each row of a table, and the URL of the folder `common`, which most paths begin with.

        A URL is None if the row has no file, and 0 if it is the URL of the folder plus the id.
        """
        plain = common == "" or common.endswith("/")
        links: list[str | int | None] = []
        for id, path in zip(table.id, table.path, strict=True):
            short = plain and path == common + id and not os.path.isabs(id) and id.isprintable()
            links.append(None if not path else 0 if short else self.url(path))
        return links, f"{self.url(common or '.')}/"

    def url(self, path: str) -> str:
        """Return the URL of a path."""
        whole = os.path.join(self._root, path)
        try:
            relative = Path(os.path.relpath(whole, self._folder)).as_posix()
        except ValueError:  # the path is on another drive of Windows
            return Path(whole).as_uri()
        return quote(os.fsencode(relative))


def _twins(audit: "Audit", order: Ints, links: Links | None) -> dict[int, list[list[Any]]]:
    """Return the images of which each row is a duplicate, by position in `order`.

    Each image is given by its id, its label, its position in `order` (-1 if it is not listed), and its URL.
    """
    flags = audit.table["flags"].iloc[order]
    if not flags.notna().any():
        return {}
    row_of, position = (
        {id: row for row, id in enumerate(audit.table.id)},
        {int(row): at for at, row in enumerate(order)},
    )
    given, paths = codes(audit.table.given, audit.class_names), audit.table.path.tolist()
    found: dict[int, list[list[Any]]] = {}
    for at, ids in enumerate(twins_of(flags.tolist(), row_of)):
        for id in ids:
            row = row_of[id]
            url = links.url(paths[row]) if links and paths[row] else None
            found.setdefault(at, []).append([id, int(given[row]), position.get(row, -1), url])
    return found


def nearest_trusted(audit: "Audit", rows: Ints, k: int = NEAREST) -> Ints:
    """Return, for each of the rows, the clean images with the most similar features: (len(rows), k), best first.

    The value -1 means no image. All values are -1 for an audit that was read from a file, because such an audit has no
    features. Cosines are rounded to six decimals. Among equal cosines, the lower content key comes first, then the
    lower id. The rows are compared with all clean images: for the few rows of a page, this takes less time than making
    an index.
    """
    found = np.full((len(rows), k), -1, dtype=np.int64)
    if audit.at is None or audit.features is None or audit.round is None:
        return found
    place = np.full(len(audit), -1, dtype=np.int64)
    place[audit.at] = np.arange(len(audit.at))
    asked = np.flatnonzero(place[rows] >= 0)
    mine = gathered(audit.features, place[rows[asked]]).astype(np.float32)
    clean = (audit.table.status == "clean").to_numpy()[audit.at]
    rank = np.empty(len(clean), dtype=np.int64)
    rank[_ordered(audit.round.evidence.keys, audit.table.id, audit.at)] = np.arange(len(clean))
    scores = np.full((len(asked), k), NO_SCORE)
    nearest = np.full((len(asked), k), -1, dtype=np.int64)
    for start in range(0, len(clean), ROWS):
        block = np.flatnonzero(clean[start : start + ROWS]) + start
        cosines = mine @ gathered(audit.features, block).astype(np.float32).T
        release(audit.features)
        # Few images of a block are among the best of any row. Only these are ranked.
        hopeful = (cosines >= 1e-6 * (scores.min(axis=1) // 2**32 - 1)[:, None]).any(axis=0)
        block, cosines = block[hopeful], cosines[:, hopeful]
        # One whole number per pair that orders first by cosine, then by rank.
        score = np.rint(cosines * 1e6).astype(np.int64) * 2**32 - rank[block]
        score[place[rows[asked]][:, None] == block] = NO_SCORE
        scores = np.concatenate([scores, score], axis=1)
        nearest = np.concatenate([nearest, np.where(score == NO_SCORE, -1, audit.at[block])], axis=1)
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        scores, nearest = np.take_along_axis(scores, best, 1), np.take_along_axis(nearest, best, 1)
    found[asked] = np.take_along_axis(nearest, np.argsort(-scores, axis=1), 1)
    return found


def _ordered(keys: Keys, ids: pd.Series, at: Ints) -> Ints:
    """Return the order (n,) of the content keys (n,). Samples with equal keys are in the order of their ids.

    In an audit of arrays, equal rows have equal keys. `at` (n,) are the rows of the samples in `ids`.
    """
    order = np.argsort(keys, kind="stable")
    equal = keys[order][1:] == keys[order][:-1]
    tied = np.flatnonzero(np.r_[False, equal] | np.r_[equal, False])
    order[tied] = sorted(order[tied].tolist(), key=lambda sample: (keys[sample], ids.iat[int(at[sample])]))
    return order


def _columns(audit: "Audit", order: Ints) -> dict[str, list[Any]]:
    """Return the columns of the rows `order`, with numbers instead of class names and statuses."""
    table = audit.table.iloc[order]
    columns: dict[str, list[Any]] = {name: table[name].tolist() for name in ("id", "issue", "flags")}
    columns |= {name: codes(table[name], audit.class_names).tolist() for name in (*CODED, *audit.tuned)}
    columns |= {name: [_rounded(value) for value in table[name]] for name in NUMBERS}
    columns["status"] = [STATUSES.index(status) for status in table.status]
    root = _root(audit.table)
    columns["path"] = [0 if path == root + id else path for id, path in zip(table.id, table.path, strict=True)]
    return columns


def _root(table: pd.DataFrame) -> str:
    """Return the part before the id of the first path that ends with its id. The page need not contain such paths."""
    pairs = zip(table.id, table.path, strict=True)
    return next((path[: -len(id)] for id, path in pairs if path and path.endswith(id)), "")


def _rounded(value: float) -> float | None:
    """Return a value with four decimals; None if it is not finite."""
    known = finite(value)
    return None if known is None else round(known, 4)


def _pictures(
    order: Sequence[int],
    links: Sequence[str | int | None],
    photos: int,
    near: Sequence[int],
    thumbnail: Thumbnail,
    room: int,
) -> tuple[list[str | None], list[str | None]]:
    """Return the previews (base64) of the rows and of the images for comparison, as many as fit into `room` bytes.

    The first `photos` rows get previews, and rows whose image is not a file, which the page could not show otherwise.
    `near` are the rows of the images for comparison.
    """
    wanted = [at for at, link in enumerate(links) if at < photos or link is None]
    filed = [at for at in wanted if links[at] is not None]
    with quiet(), ThreadPoolExecutor(WORKERS) as pool:
        small = list(pool.map(lambda row: _encoded(thumbnail(row), NEAR_SIDE), near))
        room -= _size(small)
        large = dict(zip(wanted, pool.map(lambda at: _encoded(thumbnail(order[at]), SIDE), wanted), strict=True))
        for side in SMALLER if len(filed) < len(wanted) else ():
            if _size(list(large.values())) <= room:
                break
            unfiled = [at for at in wanted if links[at] is None]
            large |= zip(
                unfiled, pool.map(lambda at, side=side: _encoded(thumbnail(order[at]), side), unfiled), strict=True
            )
    shown: list[str | None] = [None] * (max(wanted, default=-1) + 1)
    for at in [*(at for at in wanted if links[at] is None), *filed]:
        room -= len(large[at] or "")
        if room < 0:
            break
        shown[at] = large[at]
    return shown, small


def _encoded(picture: bytes | None, side: int) -> str | None:
    """Return an image, shrunk to a side and in base64; None for no image."""
    return base64.b64encode(shrunk(picture, side)).decode() if picture else None


def _size(pictures: list[str | None]) -> int:
    """Return the number of bytes of encoded images."""
    return sum(len(picture or "") for picture in pictures)


def shrunk(picture: bytes, side: int) -> bytes:
    """Return an image with sides of at most `side` pixels, as WebP if Pillow can write WebP, else as JPEG."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as image:
        small = image.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    small.save(buffer, "WEBP" if features.check("webp") else "JPEG", quality=60)
    return buffer.getvalue()
