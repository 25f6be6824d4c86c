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
"""Name of the lock file. The name of the part follows."""


@contextmanager
def only_run(folder: Path, part: str = "") -> Iterator[None]:
    """Within this block, a folder is locked against other runs. The folder is created if it is missing.

    If the process ends in any way, the operating system releases the lock. Runs that write different files to the same
    folder must have different values of `part`.

    Raises DataError if another run has the lock, or if nothing can be written to the folder.
    """
    path = folder / f"{NAME}{part}"
    lock = FileLock(path, blocking=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        # On a file system without locks, filelock uses a SoftFileLock, which writes the same text itself.
        if not isinstance(lock, SoftFileLock):
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
    """Return the process and machine that have the lock, from the lock file; `unknown` if it cannot be read."""
    with suppress(OSError):
        lines = path.read_text(encoding="utf-8", errors="replace")[:200].split()
        return " on ".join(lines[:2]) or "unknown"
    return "unknown"
