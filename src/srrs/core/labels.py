"""Functions that make, sharpen, rectify and mix soft labels. N samples, C classes, D feature size."""

import numpy as np
from numpy.typing import NDArray

from srrs.core.blocks import is_large
from srrs.mapped import empty

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
Bools = NDArray[np.bool_]

CLEAN, AMBIGUOUS = 0, 1
"""Values of `srrs.records.Group`, which `core` does not import."""


def one_hot(labels: Ints, classes: int) -> Floats:
    """Return labels (N,) as one-hot rows (N, C): float64, or float32 for more than 65,536 labels.

    Raises ValueError for labels outside 0..C-1.
    """
    labels = np.asarray(labels)
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(f"Expected labels in 0..{classes - 1}, but they run from {labels.min()} to {labels.max()}")
    hot = empty((len(labels), classes), np.float32 if is_large(len(labels)) else np.float64)
    hot[:] = 0
    hot[np.arange(len(labels)), labels] = 1
    return hot


def sharpen(probs: Floats, exponent: float) -> Floats:
    """Return `p^exponent`, normalized: (N, C) -> (N, C), in the same precision.

    An exponent above 1 sharpens the probabilities, one below 1 flattens them. Raises ValueError if a row has no
    positive entry.
    """
    probs = np.asarray(probs)
    peak = probs.max(-1, keepdims=True)
    if not (peak > 0).all():
        raise ValueError(f"Expected a positive entry in every row, but row {int(np.argmin(peak > 0))} has none")
    powered = (probs / peak) ** exponent
    return np.asarray(powered / powered.sum(-1, keepdims=True))


def three_way(group: Ints, labels: Ints, p_clean: Floats, pseudo: Floats, exponent: float) -> Floats:
    """Return the rectified labels (N, C) of SRRS.

    The target of a clean sample is its label y. The target of an ambiguous sample is `w y + (1 - w) pseudo` with
    `w = p_clean`. The target of any other sample is the prediction `pseudo`. Targets of samples that are not clean are
    then sharpened.

    Parameters
    ----------
    group : (N,) 0 is clean, 1 ambiguous, anything else neither.
    labels : (N,) given labels.
    p_clean : (N,) in 0..1.
    pseudo : (N, C) predictions, in rows that sum to 1.
    exponent : power to which the targets are raised (see `sharpen`).
    """
    group, labels = np.asarray(group), np.asarray(labels)
    trust = np.where(group == AMBIGUOUS, p_clean, 0.0).astype(pseudo.dtype)
    blended = (1 - trust)[:, None] * pseudo
    blended[np.arange(len(labels)), labels] += trust
    rectified = sharpen(blended, exponent)
    clean = group == CLEAN
    rectified[clean] = one_hot(labels[clean], pseudo.shape[1])
    return rectified


def mixup_pairs(matched: Bools, alpha: float, generator: np.random.Generator) -> tuple[Ints, Floats]:
    """Return the position (N,) of the partner with which each sample is mixed, and the share (N,) of the sample itself.

    The partner of an unmatched sample is a random matched sample, or any random sample if none is matched. The
    unmatched sample keeps the share `max(l, 1 - l)` with `l ~ Beta(alpha, alpha)`. A matched sample is its own partner
    with the share 1. `alpha` = 0 mixes nothing, and a very small `alpha` mixes almost nothing. Common values are 0.2 to
    1.
    """
    matched = np.asarray(matched, bool)
    partner, share = np.arange(len(matched)), np.ones(len(matched))
    mixed = np.flatnonzero(~matched)
    if alpha <= 0 or not len(mixed):
        return partner, share
    pool = np.flatnonzero(matched) if matched.any() else partner.copy()
    partner[mixed] = generator.choice(pool, len(mixed))
    draw = generator.beta(alpha, alpha, len(mixed))
    share[mixed] = np.maximum(draw, 1 - draw)
    return partner, share
