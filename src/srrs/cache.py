"""The size of the caches on disk: features, copies of files behind URLs, and copies of images of parquet files."""

import contextlib
import functools
import math
import os
import shutil
import time
from pathlib import Path

from srrs.errors import SettingsError

IN_USE = 24 * 3600.0
"""Time in seconds after its last use in which a copy is kept, because a run may still read it."""


def cache_limit() -> int:
    """Return the largest number of bytes that a cache may take on disk.

    The environment variable `SRRS_CACHE_LIMIT_GB` sets it. The default is 20 GB.

    Raises
    ------
    SettingsError
        The variable is not a number above 0.
    """
    text = os.environ.get("SRRS_CACHE_LIMIT_GB") or "20"
    with contextlib.suppress(ValueError):
        if float(text) > 0:
            return int(min(float(text), 1e9) * 2**30)
    raise SettingsError(f"Expected SRRS_CACHE_LIMIT_GB to be a number of gigabytes above 0, but it is '{text}'.")


def trim(folder: Path, marks: str, before: float = math.inf) -> list[Path]:
    """Remove the least recently used entries of a cache until the entries take at most `cache_limit()` bytes.

    Return the removed entries. An entry is a subfolder of `folder` that contains files whose names match the pattern
    `marks`. The newest modification time of these files is the time of its last use. Entries that were used at the time
    `before` or later are kept.
    """
    limit, removed = cache_limit(), []
    with contextlib.suppress(OSError):  # another run may be removing the same entry
        used: dict[Path, float] = {}
        for path in folder.glob(f"*/{marks}"):
            used[path.parent] = max(used.get(path.parent, 0.0), path.stat().st_mtime)
        sizes = {entry: sum(path.stat().st_size for path in entry.iterdir()) for entry in used}
        excess = sum(sizes.values()) - limit
        for entry in sorted(used, key=lambda entry: used[entry]):
            if excess > 0 and used[entry] < before:
                shutil.rmtree(entry, ignore_errors=True)
                excess -= sizes[entry]
                removed.append(entry)
    return removed


@functools.cache
def make_room(folder: Path) -> None:
    """Trim a cache of copies before the first new copy of this process. Copies used within `IN_USE` are kept."""
    trim(folder, "*", time.time() - IN_USE)


def mark_used(path: Path) -> None:
    """Set the modification time of a file of a cache to the present time, if the file system allows this."""
    with contextlib.suppress(OSError):
        os.utime(path)
