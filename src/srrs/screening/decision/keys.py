"""Content keys for arrays that come without keys. Equal rows have equal keys, whatever their positions are."""

import numpy as np
from numpy.typing import NDArray

from srrs.core.keyed import Keys

Floats = NDArray[np.floating]


def row_keys(values: Floats) -> Keys:
    """Return a 64-bit key (N,) for each row of `values` (N, D), from the bits of the row in float32."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    if bits.shape[1] % 2:
        bits = np.pad(bits, ((0, 0), (0, 1)))
    words = bits.view(np.uint64)
    numbers = np.arange(1, words.shape[1] + 1, dtype=np.uint64)
    weights = _mixed(numbers * np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)
    # The high bits of a factor do not change the low bits of a product. The shift copies them to the low bits.
    keys: Keys = _mixed((words ^ (words >> np.uint64(29))) @ weights)
    return keys


def _mixed(x: Keys) -> Keys:
    """Return the keys, mixed by the finalizer of splitmix64 (Steele et al. 2014): each input bit changes all bits."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
