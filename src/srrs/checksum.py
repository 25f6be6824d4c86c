"""A checksum inside a safetensors file, so that damage is noticed before its numbers are used.

It is the CRC-32 of the whole file, header included, computed with zeros in place of its own eight digits. It guards
against damage, not against somebody who edits the file and the checksum.
"""

import json
import os
import zlib
from pathlib import Path
from typing import BinaryIO

NAME = "checksum"
UNSET = "00000000"
_BEGIN = f'"{NAME}":"'.encode()
_LONGEST_HEADER = 100_000_000
"""Bytes that safetensors allows for a header."""
_BLOCK = 2**20


def stamp(path: Path) -> None:
    """Write the checksum into a file whose metadata holds `{NAME: UNSET}`, and sort the metadata.

    The library writes metadata in a random order, so that equal content would not be equal bytes.
    """
    with path.open("r+b") as file:
        _sort_metadata(file)
        file.seek(0)
        found = _computed(file)
        assert found is not None
        place, digits = found
        file.seek(place)
        file.write(digits)


def is_whole(path: str | os.PathLike[str]) -> bool | None:
    """Return whether a file is as it was written; None if it has no checksum, as files of other programs."""
    with open(path, "rb") as file:
        found = _computed(file)
        if found is None:
            return None
        place, digits = found
        file.seek(place)
        return file.read(len(digits)) == digits


def _sort_metadata(file: BinaryIO) -> None:
    length = int.from_bytes(file.read(8), "little")
    header = json.loads(file.read(length))
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(length)
    if len(text) == length:
        file.seek(8)
        file.write(text)


def _computed(file: BinaryIO) -> tuple[int, bytes] | None:
    """Return the place of the checksum in the file, and its right digits; None if the file has none."""
    begin = file.read(8)
    length = int.from_bytes(begin, "little")
    header = file.read(length) if length <= _LONGEST_HEADER else b""
    at = header.find(_BEGIN)
    if at < 0:
        return None
    at += len(_BEGIN)
    crc = zlib.crc32(begin + header[:at] + UNSET.encode() + header[at + len(UNSET) :])
    while block := file.read(_BLOCK):
        crc = zlib.crc32(block, crc)
    return len(begin) + at, b"%08x" % crc
