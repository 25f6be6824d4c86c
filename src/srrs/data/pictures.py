"""The image of a row: a file, or an image without a file (in memory, or inside a dataset)."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, eq=False)
class Stored:
    """An image without a file. It has the methods of a path that readers of images call."""

    name: str
    """What messages call the image."""
    read: Callable[[], bytes] | None = None
    """Returns the bytes of an image file; None where there is no image."""

    def is_file(self) -> bool:
        """Return whether there is an image."""
        return self.read is not None

    def read_bytes(self) -> bytes:
        """Return the bytes; raises FileNotFoundError where there is no image."""
        if self.read is None:
            raise FileNotFoundError(self.name)
        return self.read()

    def __str__(self) -> str:
        return self.name


Picture = Path | Stored
NOWHERE = Stored("no image")
"""The image of a row of which only an embedding is known."""


def file_of(picture: Picture) -> str | None:
    """Return the path of an image, None where it has no file."""
    return str(picture) if isinstance(picture, Path) else None
