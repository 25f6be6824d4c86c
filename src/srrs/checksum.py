"""A checksum inside a safetensors file, by which damage is noticed before the numbers are used.

The checksum is the CRC-32 of the whole file with its header. For the computation, zeros replace the eight digits of the
checksum itself. It detects damage, but not a person who edits both the file and the checksum.
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
"""Largest number of bytes that safetensors allows for a header."""
_BLOCK = 2**20


def stamp(path: Path) -> None:
    """Write the checksum into a file whose metadata contain `{NAME: UNSET}`, and sort the metadata.

    The library writes metadata in a random order. Without sorting, files with equal content would have different bytes.
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
    """Return whether the checksum of a file is correct; None if it has none, like files of other programs."""
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
