"""The types of a record's fields, and the packing of bits: whether each test image is classified correctly."""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

SCHEMA = 2
READS = (1, 2)
"""Schema versions that can be read. Version 1 has no digest of the code."""

Bools = NDArray[np.bool_]
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{8,}$")]
Bits = Annotated[str, Field(pattern=r"^([0-9a-f]{2})+$")]


def pack(correct: Bools) -> str:
    """Return bits (N,) as hex digits, two digits for eight bits."""
    return np.packbits(np.asarray(correct, bool)).tobytes().hex()


def unpack(text: str, count: int) -> Bools:
    """Return the first `count` bits of a text that `pack` made."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8), count=count).astype(bool)
