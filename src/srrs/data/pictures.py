"""What a row shows: a file, or a picture that is no file of its own (held in memory, or inside a data set)."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, eq=False)
class Stored:
    """A picture that is no file; it answers as a path does, as far as readers of pictures ask."""

    name: str
    """How messages call it."""
    read: Callable[[], bytes] | None = None
    """Gives the bytes of a picture file; None where there is no picture at all."""

    def is_file(self) -> bool:
        """Whether there is something to read."""
        return self.read is not None

    def read_bytes(self) -> bytes:
        """The bytes; FileNotFoundError where there are none."""
        if self.read is None:
            raise FileNotFoundError(self.name)
        return self.read()

    def __str__(self) -> str:
        return self.name


Picture = Path | Stored
NOWHERE = Stored("no picture")
"""A row that is known by its embedding alone."""


def file_of(picture: Picture) -> str | None:
    """The path of a picture, None where it is no file."""
    return str(picture) if isinstance(picture, Path) else None
