"""Augmented views: random resized crops and flips, drawn by an image's content and never by its place in a list."""

import hashlib
import math

import numpy as np

from srrs.models.preprocess import Box

SCALE = (0.25, 1.0)
"""Share of the image's area."""
RATIO = (3 / 4, 4 / 3)
"""Width over height."""
_TRIES = 10


def view_boxes(key: str, size: tuple[int, int], views: int, seed: int) -> list[tuple[Box, bool]]:
    """Crop box and flip of each view of an image.

    Parameters
    ----------
    key: content digest of the image.
    size: width and height in pixels.
    views: how many; the first ones do not depend on it.
    seed: at least 0.
    """
    return [view_box(key, size, view, seed) for view in range(views)]


def view_box(key: str, size: tuple[int, int], view: int, seed: int) -> tuple[Box, bool]:
    """Crop box and flip of one view; arguments as in `view_boxes`."""
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
    """Return the largest central box of an allowed shape, for pictures too long or too tall for the draws."""
    w, h = min(width, height * RATIO[1]), min(height, width / RATIO[0])
    left, top = (width - w) / 2, (height - h) / 2
    return left, top, left + w, top + h
