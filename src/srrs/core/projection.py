"""A projection of very long features to fewer dimensions, because D x D matrices of them would not fit into memory."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

MOST = 4_096
"""Largest feature size for which a covariance matrix is computed."""
KEPT = 1_024
"""Number of directions onto which longer features are projected."""


@lru_cache(maxsize=2)
def projection(size: int) -> NDArray[np.float32] | None:
    """Return a random matrix (D, KEPT) that projects features of size D, or None if D is at most `MOST`.

    The projection changes distances and cosines by about 3 % (Johnson and Lindenstrauss 1984). It depends on D only.
    """
    if size <= MOST:
        return None
    drawn = np.random.default_rng(0).standard_normal((size, KEPT), dtype=np.float32)
    return np.asarray(drawn / np.float32(np.sqrt(KEPT)))
