"""A lock that allows one run at a time in an output folder. A second run would overwrite the files of the first."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, SoftFileLock, Timeout

from srrs.errors import DataError
from srrs.io import cause

NAME = ".srrs-run.lock"


@contextmanager
def only_run(folder: Path, part: str = "") -> Iterator[None]:
    """Make a folder, and lock it against other runs until the block ends.

    If the process ends in any way, the operating system releases the lock. Runs that write different files into the
    same folder give different values of `part`.

    Raises DataError if another run holds the lock, or nothing can be written to the folder.
    """
    path = folder / f"{NAME}{part}"
    lock = FileLock(path, blocking=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        if not isinstance(lock, SoftFileLock):  # which it becomes on a file system without locks, and writes the same
            path.write_text(f"{os.getpid()}\n{platform.node()}\n", encoding="utf-8")
    except Timeout:
        raise DataError(
            f"Another run writes to {folder} (process {_holder(path)}). Wait until it ends, or choose another folder."
        ) from None
    except OSError as error:
        raise DataError(f"Cannot write to {folder}: {cause(error)}") from None
    try:
        yield
    finally:
        if not isinstance(lock, SoftFileLock):
            with suppress(OSError):
                path.unlink()
        lock.release()


def _holder(path: Path) -> str:
    with suppress(OSError):
        lines = path.read_text(encoding="utf-8", errors="replace")[:200].split()
        return " on ".join(lines[:2]) or "unknown"
    return "unknown"
