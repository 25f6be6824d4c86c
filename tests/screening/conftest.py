"""Arrays made by hand."""

import numpy as np
import pytest

from srrs.records import Keys


@pytest.fixture
def keys():
    """`(n)` content keys."""

    def make(n: int) -> Keys:
        return np.random.default_rng(77).integers(0, 2**63, n).astype(np.uint64)

    return make
