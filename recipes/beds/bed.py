"""One dataset of the development suite, and the label noise that is put on it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]


@dataclass(frozen=True)
class Images:
    """Labeled images of a bed before any noise."""

    features: Floats
    """(N, D) of unit length."""
    truth: Ints
    """(N,) true class."""
    vectors: Floats
    """(C, D) class vectors of unit length."""
    scale: float
    """Logit scale of the model."""
    strangers: Floats
    """(M, D) images of none of the classes."""


@dataclass(frozen=True)
class Cell:
    """A bed with label noise: what a rule sees, and the truth."""

    features: Floats
    given: Ints
    truth: Ints
    """(N,) true class, -1 where the image shows none of the classes."""
    vectors: Floats
    scale: float

    @property
    def zero_shot(self) -> Floats:
        """(N, C) logits of the untuned model."""
        return self.scale * self.features @ self.vectors.T

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """(N,) whether the given label is wrong."""
        return np.asarray(self.given != self.truth)


Draw = Callable[[int, int], Images]
"""(seed, images per class) -> images"""


def among_first(truth: Ints, shots: int) -> NDArray[np.bool_]:
    """Which images (N,) are among the first `shots` of their class."""
    found = np.zeros(len(truth), bool)
    for label in np.unique(truth):
        found[np.flatnonzero(truth == label)[:shots]] = True
    return found


def first(images: Images, shots: int) -> Images:
    """The first images of each class."""
    kept = among_first(images.truth, shots)
    return replace(images, features=images.features[kept], truth=images.truth[kept])


def corrupted(images: Images, noise: str, seed: int, tools: ModuleType) -> Cell:
    """The bed under `noise`: kind:rate, with "tail+" or "open+" before it, as `tail+sym:0.2`.

    `tools` is the module with `corrupt`, `long_tail` and `open_set`.
    """
    x, y = images.features, images.truth
    *shapes, kind = noise.split("+")
    strangers = images.strangers
    if "tail" in shapes:
        keep = tools.long_tail(y, seed)
        x, y = x[keep], y[keep]
    given = tools.corrupt(x, y, images.vectors, kind, seed)
    truth = y
    if "open" in shapes:
        rate = float(kind.partition(":")[2] or 0)
        given = y  # the share of images of no class takes the place of the wrong labels
        x, truth = tools.open_set(x, y, strangers, rate, seed)
    if "permuted" in shapes:
        order = np.random.default_rng(seed + 99).permutation(len(images.vectors))
        return Cell(np.float32(x), given, truth, np.float32(images.vectors[order]), images.scale)
    return Cell(np.float32(x), given, truth, np.float32(images.vectors), images.scale)
