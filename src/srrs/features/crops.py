"""Augmented views: random resized crops and flips. A draw depends on the content of an image, never on its position."""

import hashlib
import math

import numpy as np

from srrs.models.preprocess import Box

SCALE = (0.25, 1.0)
"""Smallest and largest area of a crop, as a share of the image's area."""
RATIO = (3 / 4, 4 / 3)
"""Smallest and largest ratio of width to height of a crop."""
_TRIES = 10
"""Number of draws of a crop before the central crop is used."""


def view_boxes(key: str, size: tuple[int, int], views: int, seed: int) -> list[tuple[Box, bool]]:
    """Return the crop box of each view of an image, and whether the view is flipped.

    Parameters
    ----------
    key : content digest of the image.
    size : width and height in pixels.
    views : number of views. A larger number does not change the first views.
    seed : at least 0.
    """
    return [view_box(key, size, view, seed) for view in range(views)]


def view_box(key: str, size: tuple[int, int], view: int, seed: int) -> tuple[Box, bool]:
    """Return the crop box of one view, and whether the view is flipped. See `view_boxes` for the other arguments."""
    content = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "little")
    rng = np.random.default_rng((seed, content, view))
    flip = bool(rng.random() < 0.5)
    width, height = size
    for _ in range(_TRIES):
        area = width * height * rng.uniform(*SCALE)
        ratio = math.exp(rng.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        w, h = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if w <= width and h <= height:
            left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
            return (left, top, left + w, top + h), flip
    return _central(width, height), flip


def _central(width: int, height: int) -> Box:
    """Return the largest central box with an allowed ratio, for images that are too wide or too tall for the draws."""
    w, h = min(width, height * RATIO[1]), min(height, width / RATIO[0])
    left, top = (width - w) / 2, (height - h) / 2
    return left, top, left + w, top + h
