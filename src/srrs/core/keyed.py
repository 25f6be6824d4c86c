"""Random draws keyed by a sample's content, so that neither the order of the rows nor new rows change them."""

import hashlib

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]


def content_keys(features: NDArray[np.floating]) -> Keys:
    """A 64-bit key for each row (N, D), from its float16 bits: the same picture has the same key anywhere."""
    rows = np.ascontiguousarray(features, dtype=np.float16)
    digests = (hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in rows)
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


def bit_keys(features: NDArray[np.floating]) -> Keys:
    """As `content_keys`, by a weighted sum of the bits instead of a digest: other keys, many times faster."""
    bits = np.ascontiguousarray(features, dtype=np.float16).view(np.uint16)
    if bits.shape[1] % 4:
        bits = np.pad(bits, ((0, 0), (0, -bits.shape[1] % 4)))
    words = bits.view(np.uint64)
    weights = _mix(np.arange(1, words.shape[1] + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)
    # High bits reach no lower bit of a product: the shift brings them down, or flipping two signs would change nothing.
    return _mix((words ^ (words >> np.uint64(29))) @ weights)


def _mix(x: Keys) -> Keys:
    """The finaliser of splitmix64 (Steele et al. 2014): every input bit moves every output bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def uniforms(keys: Keys, *numbers: int) -> NDArray[np.float64]:
    """One uniform draw in [0, 1) per key (N,); other `numbers` (seed, purpose, step) give other draws."""
    mixed = keys
    for number in numbers:
        mixed = _mix(mixed + np.uint64((number * 0x9E3779B97F4A7C15 + 1) % 2**64))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def folds(keys: Keys, count: int, seed: int) -> NDArray[np.int64]:
    """Fold number (N,) in 0..count-1; equal pictures share a fold, fold sizes differ by chance only."""
    return np.minimum((uniforms(keys, seed, 1) * count).astype(np.int64), count - 1)
