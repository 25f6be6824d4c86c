"""What the pixels of a photograph tell without any model: whether it is worth having, and what it looks like small."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from srrs.data.images import WORKERS, open_rgb, quiet
from srrs.data.samples import Progress, Samples
from srrs.records import Floats

SIDE, LOOK = 256, 16
"""Longest side that is judged, and side of the small picture, in pixels."""
TINY = 32
BLANK = 5.0
"""Standard deviation of the grey values (0..255) below which there is nothing to see."""
DARK = 50.0
"""Grey value that 95 % of a dark photograph stay below."""
BLURRED = 0.15
"""Laplacian against grey values, in standard deviations. Of 2,670 photographs of Caltech101 none is below; blurred by a
Gaussian of 3 pixels more than 99 % are."""


@dataclass(frozen=True, eq=False)
class Appearance:
    """Of n photographs."""

    looks: Floats
    """(n, 256) small grey pictures, centred and of unit length; zero where there is nothing to see."""
    defects: tuple[tuple[str, ...], ...]
    """(n,) any of tiny, blank, dark, blurry."""


def unseen(count: int) -> Appearance:
    """Of photographs that are known by their features alone."""
    return Appearance(np.zeros((count, LOOK * LOOK), np.float32), ((),) * count)


def appearance(samples: Samples, rows: Sequence[int] | np.ndarray, progress: Progress | None = None) -> Appearance:
    """Look at each of the rows, in threads. Raises DataError for a picture that does not open."""
    looks, defects = np.zeros((len(rows), LOOK * LOOK), np.float32), []
    with quiet(), ThreadPoolExecutor(WORKERS) as pool:
        pictures = pool.map(lambda row: _judged(open_rgb(samples.paths[row], at_least=SIDE // 2)), rows)
        for at, (look, found) in enumerate(pictures):
            looks[at] = look
            defects.append(found)
            if progress:
                progress(at + 1, len(rows))
    return Appearance(looks, tuple(defects))


def _judged(picture: Image.Image) -> tuple[Floats, tuple[str, ...]]:
    side = min(picture.size)
    grey = picture.convert("L")
    grey.thumbnail((SIDE, SIDE))
    values = np.asarray(grey, np.float32)
    small = np.asarray(grey.resize((LOOK, LOOK), Image.Resampling.BOX), np.float32).ravel()
    small = small - small.mean()
    tiny, blank = side < TINY, bool(values.std() < BLANK)
    found = {
        "tiny": tiny,
        "blank": blank,
        "dark": not blank and bool(np.percentile(values, 95) < DARK),
        "blurry": not blank and not tiny and _sharpness(values) < BLURRED,
    }
    look = small / np.linalg.norm(small) if not blank and np.linalg.norm(small) > LOOK else np.zeros_like(small)
    return look, tuple(name for name, is_so in found.items() if is_so)


def _sharpness(grey: Floats) -> float:
    if min(grey.shape) < 3:
        return float("inf")
    inner = 4 * grey[1:-1, 1:-1]
    edges = grey[1:-1, :-2] + grey[1:-1, 2:] + grey[:-2, 1:-1] + grey[2:, 1:-1] - inner
    return float(edges.std() / grey.std())
