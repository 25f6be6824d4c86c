"""The image of a row: a file, or an image without a file (in memory, or inside a dataset)."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MAX_BYTES = 2**30
"""Largest number of bytes of an image file."""


@dataclass(frozen=True, eq=False)
class Stored:
    """An image that is not a file. It has those methods of `Path` that are used to read images."""

    name: str
    """Name of the image in messages."""
    read: Callable[[], bytes] | None = None
    """Function that returns the bytes of an image file; None if there is no image."""

    def is_file(self) -> bool:
        """Return whether there is an image."""
        return self.read is not None

    def read_bytes(self) -> bytes:
        """Return the bytes of an image file. Raises FileNotFoundError if there is no image."""
        if self.read is None:
            raise FileNotFoundError(self.name)
        return self.read()

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Slice:
    """The position of an image inside a larger file. Calling the object returns the bytes of the image."""

    file: Path
    start: int
    """Number of bytes before the image."""
    size: int
    """Number of bytes of the image."""

    def __call__(self) -> bytes:
        """Return the bytes of the image. Raises OSError if they are too many, or the file has become shorter."""
        if self.size > MAX_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        with self.file.open("rb") as file:
            file.seek(self.start)
            found = file.read(self.size)
        if len(found) < self.size:
            raise OSError(errno.EIO, f"{self.file} ends before the image")
        return found


Picture = Path | Stored
"""An image: a file, or an image without a file."""
NOWHERE = Stored("no image")
"""The image of a row of which only an embedding is known."""


def file_of(picture: Picture) -> str | None:
    """Return the path of an image; None if the image is not a file."""
    return str(picture) if isinstance(picture, Path) else None
