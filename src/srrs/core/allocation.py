"""Memory that a program has freed, kept for what it does next or given back.

The C library of Linux gives large freed blocks back to the system, and gets them anew, page by page and emptied, when
they are asked for again. A training step frees everything it kept for its backward pass and the next one asks for just
as much, tens of thousands of pages. Both functions do nothing without the GNU C library.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # of mallopt(3)
_ALL, _LARGEST_BLOCK = (1 << 31) - 1, 32 << 20  # bytes
_MAPPED_BLOCKS = 1 << 16  # how many come from the system one by one and go back to it so, by default

_open: list[None] = []
"""One entry for each `freed_memory_kept` that has begun and not ended, in any thread."""


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Inside, freed memory stays with the process; behind, it is given back.

    It holds for the whole process, for blocks of any size, and until the last of several that are open at once ends.
    """
    _open.append(None)
    if len(_open) == 1:
        _keep()
    try:
        yield
    finally:
        _open.pop()
        if not _open:
            _keep_no_longer()


def _keep() -> None:
    library = _gnu()
    if library is not None:
        library.mallopt(_MMAP_MAX, 0)
        library.mallopt(_TRIM_THRESHOLD, _ALL)


def _keep_no_longer() -> None:
    """Leaves the limits that the library itself comes to when a program has freed blocks of 32 MiB."""
    library = _gnu()
    if library is not None:
        library.mallopt(_MMAP_MAX, _MAPPED_BLOCKS)
        library.mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK)
        library.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST_BLOCK)
        give_back()


def give_back() -> None:
    """Whole free pages to the system, those between blocks in use as well."""
    library = _gnu()
    if library is not None:
        library.malloc_trim(0)


@cache
def _gnu() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "malloc_trim") else None
