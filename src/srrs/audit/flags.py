"""The column `flags`: problems of an image that do not concern its label.

The flags of an image are in one cell, separated by `; `. A flag does not change the status of an image. N images, D
feature size.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from srrs.core.blocks import blocks, is_large
from srrs.core.duplicates import near_among, near_duplicates
from srrs.core.neighbors import nearest
from srrs.records import Bools, Floats, Ints

TRUSTED = "trusted"
"""The flag of an image on which a person has decided. It is always the first flag."""
KINDS = (TRUSTED, "duplicate", "near-duplicate", "off-topic", "tiny", "blank", "dark", "blurry")
"""Kinds of flags, in the order in which they are counted."""
_TWIN = re.compile("(near-)?duplicate of ")
"""Beginning of the flag of a duplicate."""
_LABEL = re.compile(r" \(labell?ed (?!.* \(labell?ed )")
"""Text before the label of the other image. Earlier releases wrote "labelled"."""
FAR = -3.0
"""An image with a lower likeness (see `off_topic`) is off-topic, whatever the status of its label."""
UNLIKE = 0.02
"""An image whose label is not clean is off-topic if at most this share of the clean images has a lower likeness."""
FEWEST = 50
"""With fewer images, none is off-topic. With fewer clean images, `UNLIKE` is not used."""
NEAR = 5
"""Number of nearest images whose similarity is averaged."""


@dataclass(frozen=True, eq=False)
class Photos:
    """The data of N images from which flags are computed."""

    ids: tuple[str, ...]
    given: tuple[str, ...]
    """(N,) names of the given classes."""
    keys: tuple[str, ...]
    """(N,) digest of each file."""
    features: Floats
    """(N, D) unit-length features of the plain view."""
    looks: Floats
    """(N, P) small gray copies, centered and of unit length, or zero."""
    defects: tuple[tuple[str, ...], ...] = ()
    """(N,) flags of the pixels: tiny, blank, dark, blurry."""
    neighbors: Ints | None = None
    """(N, k) positions of the nearest images, best first; -1 for none. Needed only above 65,536 images, else None."""


def cells(
    photos: Photos, outside: Bools, decided: Collection[str] = (), test: Photos | None = None
) -> dict[str, str | None]:
    """Return the cells of the column `flags` for the images that have flags, by id.

    Parameters
    ----------
    photos : the images.
    outside : (N,) whether each image is off-topic.
    decided : ids of the images on which a person has decided.
    test : the images of a test set, in which copies of `photos` are searched.
    """
    twice = duplicates(photos, test)
    found: dict[str, str | None] = {}
    for row, (id, off, bad) in enumerate(zip(photos.ids, outside, photos.defects, strict=True)):
        flags = [*[TRUSTED] * (id in decided), *twice.get(row, ()), *["off-topic"] * bool(off), *bad]
        if flags:
            found[id] = "; ".join(flags)
    return found


def duplicates(photos: Photos, test: Photos | None = None) -> dict[int, list[str]]:
    """Return the flags of duplicates and near-duplicates, by position. Copies are searched among `photos` and `test`.

    The flags do not depend on the order of the images. Above 65,536 images, near-duplicates are searched among the
    nearest images (`Photos.neighbors`). If these are None, only files with equal bytes are found.
    """
    flags: dict[int, list[str]] = {}
    for pool, where in ((photos, ""), (test, "test image ")):
        if pool is None:
            continue
        order = np.argsort(np.array(pool.ids, dtype=object), kind="stable")
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        own = place if pool is photos else np.full(len(photos.ids), -1)
        found = np.full(len(own), -1)
        if pool is photos and photos.neighbors is not None:
            nearby = near_among(photos.features, photos.looks, photos.neighbors)
            found = np.where(nearby < 0, -1, place[nearby])
        elif not is_large(round((len(photos.ids) * len(pool.ids)) ** 0.5)):
            found = near_duplicates(photos.features, photos.looks, pool.features[order], pool.looks[order], own)
        same = _first_of_each(pool, order, among=None if pool is photos else set(photos.keys))
        rows = (row for row, key in enumerate(photos.keys) if found[row] >= 0 or key in same)
        for row in rows:
            at = found[row]
            exact = [other for other in same.get(photos.keys[row], ()) if pool is not photos or other != row]
            if exact or at >= 0:
                other = exact[0] if exact else int(order[at])
                kind = "duplicate" if exact else "near-duplicate"
                label = "" if photos.given[row] == pool.given[other] else f" (labeled {_plain(pool.given[other])})"
                flags.setdefault(row, []).append(f"{kind} of {where}{_plain(pool.ids[other])}{label}")
    return flags


def off_topic(
    features: Floats, clean: Bools, class_vectors: Floats | None = None, similarity: Floats | None = None
) -> Bools:
    """Return which images (N,) probably show none of the classes.

    The *likeness* of an image is the sum of two similarities: its similarity to the best class vector, and its mean
    similarity to the nearest images. Before the sum, the median of all images is subtracted from each similarity, and
    the result is divided by the interquartile range. An image is off-topic if its likeness is below `FAR`, or if its
    label is not clean and at most the share `UNLIKE` of the clean images has a lower likeness. With the bundled model,
    this rule flags 3 in 1,000 images of Caltech101's classes. It finds noise and color gradients, but only 2 in 100
    images of other objects.

    Parameters
    ----------
    features : (N, D) of unit length.
    clean : (N,) whether the label of each image is clean.
    class_vectors : (C, D) of unit length. Without class vectors, only the nearest images count.
    similarity : (N, k) similarities to the nearest images. Above 65,536 images, no image is flagged without them.
    """
    if (is_large(len(clean)) and similarity is None) or len(clean) < FEWEST:
        return np.zeros(len(clean), dtype=bool)
    if similarity is None:
        similarity = nearest(np.asarray(features, np.float32), NEAR)[1]
    likeness = _from_median(similarity[:, :NEAR].mean(1))
    if class_vectors is not None:
        vectors = np.asarray(class_vectors, np.float32).T
        best = [(np.asarray(features[rows], np.float32) @ vectors).max(1) for rows in blocks(len(features))]
        likeness = likeness + _from_median(np.concatenate(best))
    doubted = np.zeros(len(features), dtype=bool)
    if clean.sum() >= FEWEST:
        doubted = ~clean & (likeness < np.quantile(likeness[clean], UNLIKE))
    return np.asarray(doubted | (likeness < FAR))


def _from_median(values: Floats) -> Floats:
    """Return the distances (N,) from the median, in interquartile ranges."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return np.asarray((values - middle) / (high - low + 1e-9))


def twins_of(cells: Sequence[str | None], ids: Collection[str]) -> list[list[str]]:
    """Return, for each cell of the column, which of `ids` the cell names as duplicates or near-duplicates."""
    named = {_plain(id): id for id in ids}
    found = []
    for cell in cells:
        words = [flag.split(" of ", 1)[1] for flag in (cell or "").split("; ") if _TWIN.match(flag)]
        spelled = [word if word in named else _LABEL.split(word)[0] for word in words]
        found.append([named[word] for word in spelled if word in named])
    return found


def is_trusted(cell: str | None) -> bool:
    """Return whether a cell of the column contains the flag `trusted`: a person has decided on the image."""
    return bool(cell) and str(cell).split("; ")[0] == TRUSTED


def joined(cell: str | None, words: Sequence[str]) -> str | None:
    """Return a cell with further flags added; None if there are no flags. Each flag appears once."""
    own = cell.split("; ") if cell else []
    return "; ".join([*own, *(word for word in map(_plain, words) if word not in own)]) or None


def counts(cells: pd.Series) -> dict[str, int]:
    """Return the number of images per kind of flag: the kinds of srrs in their order, then other kinds by name."""
    kinds = [{flag.split(" of ")[0] for flag in cell.split("; ")} for cell in cells.dropna()]
    there = set().union(*kinds)
    order = [*(kind for kind in KINDS if kind in there), *sorted(there - {*KINDS})]
    return {kind: sum(kind in of for of in kinds) for kind in order}


def _first_of_each(photos: Photos, order: Ints, among: Collection[str] | None) -> dict[str, list[int]]:
    """Return the first two images with each file content, sorted by id, as positions by content digest.

    Only contents that are in `among` count or, if `among` is None, contents that occur several times. `order` (N,) are
    the positions sorted by id.
    """
    keys = pd.Series(photos.keys, dtype=object)
    wanted = (keys.duplicated(keep=False) if among is None else keys.isin(list(among))).to_numpy()
    same: dict[str, list[int]] = {}
    for row in order[wanted[order]]:
        rows = same.setdefault(photos.keys[row], [])
        if len(rows) < 2:
            rows.append(int(row))
    return same


def _plain(text: str) -> str:
    """Return a name without the separator of flags."""
    return text.replace(";", ",")
