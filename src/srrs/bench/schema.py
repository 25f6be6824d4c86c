"""The types of a record's fields, and functions that convert bits to text and back."""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

SCHEMA = 2
"""Schema version that is written."""
READS = (1, 2)
"""Schema versions that can be read. Version 1 has no digest of the code."""

Bools = NDArray[np.bool_]
Text = Annotated[str, Field(min_length=1)]
"""A string that is not empty."""
Count = Annotated[int, Field(ge=0)]
"""An integer of 0 or more."""
Positive = Annotated[int, Field(ge=1)]
"""An integer of 1 or more."""
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
"""A number from 0 to 1."""
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A duration in seconds."""
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{8,}$")]
"""A digest: 8 or more hex digits."""
Bits = Annotated[str, Field(pattern=r"^([0-9a-f]{2})+$")]
"""Bits as hex digits, see `pack`."""


def pack(correct: Bools) -> str:
    """Return bits (N,) as hex digits: two digits for eight bits, the first bit first. Missing bits at the end are 0."""
    return np.packbits(np.asarray(correct, bool)).tobytes().hex()


def unpack(text: str, count: int) -> Bools:
    """Return the first `count` bits (count,) of the result of `pack`."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8), count=count).astype(bool)
