"""What the script of the page reads: the rows to look at, their pictures, and the nearest trusted photos of each.

The pictures travel inside the page. They are made as large as the page has room for, so that a page of 500 photos
stays under four megabytes whatever the photos are.
"""

import base64
import hashlib
import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image, features

from srrs.audit.flags import is_trusted
from srrs.audit.rows import NUMBERS
from srrs.audit.summary import STATUSES, Summary, codes, finite
from srrs.data.images import WORKERS, quiet
from srrs.records import Ints

if TYPE_CHECKING:
    from srrs.audit.table import Audit

Thumbnail = Callable[[int], bytes | None]
CODED = ("given", "suggested", "zero_shot")
"""Columns of class names, beside those of the tuners."""
NEAREST = 4
SIDES = (192, 160, 128, 96)
NEAR_SIDE = 72
ROOM = 7_400
"""Bytes of the page for each photo, its row and its neighbours included; figures and script take the rest."""
PAIRS = 400


def gallery(audit: "Audit", order: Ints, summary: Summary, thumbnail: Thumbnail, photos: int) -> dict[str, Any]:
    """The rows `order` of the table as JSON: a list per column, and the pictures of the first `photos` of them."""
    pictured = order[:photos]
    near = nearest_trusted(audit, pictured)
    columns = _columns(audit, order)
    identity = [audit.class_names, *(columns[name] for name in ("id", "given", "suggested"))]
    data = {
        "storage": "srrs " + hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16],
        "root": _root(audit.table),
        "classes": audit.class_names,
        "statuses": STATUSES,
        "pairs": [
            [*(audit.class_names.index(name) for name in (pair.given, pair.suggested)), pair.count]
            for pair in summary.pairs[:PAIRS]
        ],
        "columns": columns,
        "tuned": audit.tuned,
    }
    place = {row: at for at, row in enumerate(dict.fromkeys(row for row in near.ravel().tolist() if row >= 0))}
    shown = audit.table.given.where(~audit.table["flags"].map(is_trusted), audit.table.suggested)  # as was decided
    label = codes(shown, audit.class_names).tolist()
    of = [[[label[row], place[row]] for row in row_near if row >= 0] for row_near in near.tolist()]
    room = ROOM * max(len(pictured), 500) - len(json.dumps([data, of]))
    columns["photo"], small = _pictures(pictured.tolist(), list(place), thumbnail, room)
    return data | {"nearest": {"of": of, "photos": small}}


def nearest_trusted(audit: "Audit", rows: Ints, k: int = NEAREST) -> Ints:
    """(len(rows), k) rows of the clean photos whose features are most like each row's, best first; -1 for none.

    An audit read from a file has no features and so no neighbours.
    """
    found = np.full((len(rows), k), -1, dtype=np.int64)
    if audit.at is None or audit.features is None:
        return found
    sample = {int(row): number for number, row in enumerate(audit.at)}
    ids, status = audit.table.id.tolist(), audit.table.status.tolist()
    clean = [row for row in sample if status[row] == "clean"]
    trusted = np.array(sorted(clean, key=ids.__getitem__), dtype=np.int64)  # by id, which then decides ties
    unit = np.asarray(audit.features, dtype=np.float32)
    theirs = unit[[sample[row] for row in trusted.tolist()]]
    for at, row in enumerate(rows.tolist()):
        if row in sample:
            similar = np.round(theirs @ unit[sample[row]], 6)
            best = trusted[np.argsort(-similar, kind="stable")]
            best = best[best != row][:k]
            found[at, : len(best)] = best
    return found


def _columns(audit: "Audit", order: Ints) -> dict[str, list[Any]]:
    table = audit.table.iloc[order]
    columns: dict[str, list[Any]] = {name: table[name].tolist() for name in ("id", "issue", "flags")}
    columns |= {name: codes(table[name], audit.class_names).tolist() for name in (*CODED, *audit.tuned)}
    columns |= {name: [_rounded(value) for value in table[name]] for name in NUMBERS}
    columns["status"] = [STATUSES.index(status) for status in table.status]
    root = _root(audit.table)
    columns["path"] = [0 if path == root + id else path for id, path in zip(table.id, table.path, strict=True)]
    return columns


def _root(table: pd.DataFrame) -> str:
    """What stands before the id in the first path that ends with it; most paths are then told by their id alone."""
    pairs = zip(table.id, table.path, strict=True)
    return next((path[: -len(id)] for id, path in pairs if path and path.endswith(id)), "")


def _rounded(value: float) -> float | None:
    known = finite(value)
    return None if known is None else round(known, 4)


def _pictures(
    pictured: list[int], near: list[int], thumbnail: Thumbnail, room: int
) -> tuple[list[str | None], list[str | None]]:
    """The photos and their neighbours as base64, the photos as large as fits into `room` bytes."""
    rows = list(dict.fromkeys([*pictured, *near]))
    with quiet(), ThreadPoolExecutor(WORKERS) as pool:
        read = dict(zip(rows, pool.map(thumbnail, rows), strict=True))

        def encoded(rows: list[int], side: int) -> list[str | None]:
            return list(pool.map(lambda row: _encoded(read[row], side), rows))

        small = encoded(near, NEAR_SIDE)
        room -= _size(small)
        some = pictured[:: max(1, len(pictured) // 32)]
        for side in SIDES:
            if side > SIDES[-1] and _size(encoded(some, side)) * len(pictured) > room * len(some):
                continue  # told from some of them, which spares encoding all of them at every size
            large = encoded(pictured, side)
            if _size(large) <= room:
                break
    return large, small


def _encoded(picture: bytes | None, side: int) -> str | None:
    return base64.b64encode(shrunk(picture, side)).decode() if picture else None


def _size(pictures: list[str | None]) -> int:
    return sum(len(picture or "") for picture in pictures)


def shrunk(picture: bytes, side: int) -> bytes:
    """A picture of at most `side` pixels, as WebP where Pillow can write it, else as JPEG."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as image:
        small = image.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    small.save(buffer, "WEBP" if features.check("webp") else "JPEG", quality=60)
    return buffer.getvalue()
