"""Random draws that depend on the content key of a sample, not on the order of the samples or on other samples."""

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
RANK_BITS = 20
"""Number of low bits of a key that distinguish samples with equal content. `key >> RANK_BITS` is equal for these
samples."""
COUNTERS = 2**40
"""Smaller keys are treated as counted numbers, not as digests. One digest in 16 million is so small."""


def _mix(x: Keys) -> Keys:
    """Return the keys, mixed as in splitmix64 (Steele et al. 2014): every input bit changes every output bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def uniforms(keys: Keys, *numbers: int) -> NDArray[np.float64]:
    """Draw a uniform number in [0, 1) for each key (N,).

    Different `numbers` (seed, purpose, step) give different draws.
    """
    mixed = keys
    for number in numbers:
        mixed = _mix(mixed + np.uint64((number * 0x9E3779B97F4A7C15 + 1) % 2**64))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def chosen(keys: Keys, count: int, *numbers: int) -> NDArray[np.int64]:
    """Draw `count` of N samples without replacement, and return their positions (count,) in ascending order.

    If there are at most `count` samples, all are returned. The draw takes time proportional to N, because only the
    drawn positions are sorted. Different `numbers` (seed, purpose, step) give different draws.
    """
    if count >= len(keys):
        return np.arange(len(keys))
    return np.sort(np.argpartition(uniforms(keys, *numbers), count)[:count])


def folds(keys: Keys, count: int, seed: int) -> NDArray[np.int64]:
    """Draw a fold (N,) in 0..count-1 for each sample. Copies of an image get the same fold.

    If a copy were in another fold, the model that predicts the image would have been trained on the label of the copy.
    The sizes of the folds are random.
    """
    content = np.where(keys < COUNTERS, keys, keys >> np.uint64(RANK_BITS))
    return np.minimum((uniforms(content, seed, 1) * count).astype(np.int64), count - 1)
