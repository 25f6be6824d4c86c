"""A checksum inside a safetensors file, with which damage is found before the numbers are used.

The checksum is the CRC-32 of the whole file with its header. For the computation, zeros replace the eight digits of the
checksum itself. It detects accidental damage. It does not detect a person's changes to both the file and the checksum.
"""

import json
import os
import zlib
from pathlib import Path
from typing import BinaryIO

NAME = "checksum"
"""Name of the checksum in the metadata of the file."""
UNSET = "00000000"
"""The digits in place of the checksum before it is computed."""
_BEGIN = f'"{NAME}":"'.encode()
"""The bytes before the checksum."""
_LONGEST_HEADER = 100_000_000
"""Largest number of bytes that safetensors allows for a header."""
_BLOCK = 2**20
"""Number of bytes that are read at a time."""


def stamp(path: Path) -> None:
    """Sort the metadata of a file, which contain `{NAME: UNSET}`, and write the checksum into them.

    The library safetensors writes metadata in a random order. Without sorting, files with equal content would have
    different bytes.
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
    """Return whether the checksum of a file is correct; None if the file has no checksum, like files of other programs.

    Raises OSError if the file cannot be read.
    """
    with open(path, "rb") as file:
        found = _computed(file)
        if found is None:
            return None
        place, digits = found
        file.seek(place)
        return file.read(len(digits)) == digits


def _sort_metadata(file: BinaryIO) -> None:
    """Sort the metadata in the header, unless this would change the length of the header."""
    length = int.from_bytes(file.read(8), "little")
    header = json.loads(file.read(length))
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(length)
    if len(text) == length:
        file.seek(8)
        file.write(text)


def _computed(file: BinaryIO) -> tuple[int, bytes] | None:
    """Return the position of the checksum in the file, and the digits that are correct; None without a checksum."""
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
