"""The types of a record's fields, and functions that convert bits to text and back."""

import base64
import zlib
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

SCHEMA = 3
"""Schema version that is written."""
READS = (1, 2, 3)
"""Schema versions that can be read. Version 1 has no digest of the code, versions 1 and 2 have no predicted classes."""

Bools = NDArray[np.bool_]
Ints = NDArray[np.integer]
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
Numbers = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/=]*$")]
"""Class numbers as text, see `pack_classes`; '' for none."""


def pack(correct: Bools) -> str:
    """Return bits (N,) as hex digits: two digits for eight bits, the first bit first. Missing bits at the end are 0."""
    return np.packbits(np.asarray(correct, bool)).tobytes().hex()


def unpack(text: str, count: int) -> Bools:
    """Return the first `count` bits (count,) of the result of `pack`."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8), count=count).astype(bool)


def pack_classes(numbers: Ints) -> str:
    """Return class numbers (N,) as text: 16-bit integers, first byte the lowest, compressed by zlib, as base64.

    A record has one number per test image; equal neighbors make the text short.
    """
    return base64.b64encode(zlib.compress(np.asarray(numbers).astype("<u2").tobytes(), 9)).decode()


def unpack_classes(text: str, count: int) -> Ints:
    """Return the class numbers (count,) of the result of `pack_classes`. Raises ValueError for other text."""
    try:
        expand = zlib.decompressobj()
        content = expand.decompress(base64.b64decode(text, validate=True), 2 * count + 1)
    except (ValueError, zlib.error) as error:
        raise ValueError(f"predicted or truth is not base64 of compressed numbers: {error}") from None
    if len(content) != 2 * count:
        raise ValueError(f"predicted and truth must hold one number for each of {count} test images")
    return np.frombuffer(content, "<u2").astype(np.int64)
