"""Fewer directions for very long features, where D x D matrices would not fit into memory."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

MOST = 4_096
"""Longest features of which a covariance is computed."""
KEPT = 1_024
"""Directions that longer features are projected onto."""


@lru_cache(maxsize=2)
def projection(size: int) -> NDArray[np.float32] | None:
    """Return a random matrix (D, KEPT) for features of size D, or None for those of at most `MOST`.

    It keeps distances and cosines up to about 3 % (Johnson and Lindenstrauss 1984), and depends on D alone.
    """
    if size <= MOST:
        return None
    drawn = np.random.default_rng(0).standard_normal((size, KEPT), dtype=np.float32)
    return np.asarray(drawn / np.float32(np.sqrt(KEPT)))
