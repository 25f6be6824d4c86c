"""Functions that read files without waiting for a pipe or device, and write files completely or not at all."""

import errno
import hashlib
import os
import platform
import re
import shutil
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import platformdirs

from srrs import checksum
from srrs.errors import DataError

FilePath = str | os.PathLike[str]
Progress = Callable[[int, int], None]
"""Function that is called with the number of finished units of work and their total."""
_CAUSES = {
    errno.ENOSPC: "the disk is full. Free some space, then run the same command again.",
    errno.EDQUOT: "the disk quota is used up. Free some space, then run the same command again.",
    errno.EFBIG: "the file would be larger than this system allows. Raise the limit (ulimit -f) or write elsewhere.",
    errno.EROFS: "the file system is read-only. Choose another folder.",
    errno.ENAMETOOLONG: "the name is too long for this file system. Choose a shorter one.",
}
"""Causes of an error in writing, with advice, by error number."""


def cache_root() -> Path:
    """Return the folder of the caches: the environment variable `SRRS_CACHE`, or else the user's cache folder."""
    return Path(os.environ.get("SRRS_CACHE") or platformdirs.user_cache_dir("srrs"))


def printable(text: str, keep: str = "") -> str:
    """Return a text that is safe for a terminal and for XML.

    Characters that are not printable, such as control characters and marks of the writing direction, become the
    replacement character (U+FFFD), unless they are in `keep`.
    """
    return "".join(c if c.isprintable() or c in keep else "\N{REPLACEMENT CHARACTER}" for c in text)


def is_file(path: FilePath) -> bool:
    """Return whether there is a file at a path; False for a path that is not allowed, such as one that is too long."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def there(path: FilePath) -> bool:
    """Return whether there is a file, folder or other entry at a path; False for a path that is not allowed."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def read_bytes(path: FilePath, most: int | None = None) -> bytes:
    """Return the content of a regular file.

    Raises
    ------
    OSError
        There is no regular file at the path (reading a FIFO or a device might never end), the file has more than `most`
        bytes (`errno.EFBIG`), or it cannot be read.
    """
    check_regular(path)
    # Opened without blocking, because a FIFO may have replaced the file since the check.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    with open(os.open(path, flags), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        if most is not None and found.st_size > most:
            raise OSError(errno.EFBIG, f"larger than {most // 2**20} MB")
        return file.read() if most is None else file.read(most + 1)[:most]


def check_regular(path: FilePath) -> None:
    """Raise OSError if there is no regular file at a path, but a folder, FIFO, socket or device, or nothing."""
    try:
        mode = os.stat(path).st_mode
    except ValueError:  # raised for a NUL character
        raise OSError(errno.EINVAL, "a path cannot hold a NUL character") from None
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file")


def write_atomic(path: FilePath, content: bytes | Iterable[bytes]) -> Path:
    """Write bytes, or several pieces of bytes, to a file, completely or not at all, and return its path.

    A missing folder is created. The file gets the default access rights (umask). Raises DataError if it cannot be
    written.
    """
    with atomic(path) as part, part.open("wb") as file:
        file.writelines([content] if isinstance(content, bytes) else content)
    return Path(path)


def save_tensors(path: FilePath, arrays: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> Path:
    """Write numpy arrays or torch tensors as safetensors with a checksum, completely or not at all.

    Return the path. `arrays` maps names to arrays. Raises DataError if the file cannot be written.
    """
    if all(hasattr(array, "__array_interface__") for array in arrays.values()):
        from safetensors.numpy import save_file
    else:
        from safetensors.torch import save_file

    with atomic(path) as part:
        save_file(dict(arrays), part, metadata={**(metadata or {}), checksum.NAME: checksum.UNSET})
        checksum.stamp(part)
    return Path(path)


@contextmanager
def atomic(path: FilePath) -> Iterator[Path]:
    """Within this block, the value is a temporary path beside `path`.

    If the block ends without an error, the temporary file replaces `path`. Raises DataError for an OSError in the
    block, and for a SafetensorError, in which `save_file` wraps an OSError.
    """
    path = Path(path)
    try:
        _check_replaceable(path)
        part = _part(path)
        try:
            part.touch()
            mode = stat.S_IMODE(part.stat().st_mode)
            yield part
            sync(part)
            part.chmod(mode)  # safetensors creates files that other users cannot read
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(_message(path, error)) from error
    except Exception as error:
        if type(error).__name__ != "SafetensorError":
            raise
        raise DataError(_message(path, os_error(error))) from error


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Within this block, the value is a temporary folder beside `path`.

    If the block ends without an error, the temporary folder becomes `path`. Raises DataError for an OSError, unless
    another process has created `path` in the meantime.
    """
    try:
        part = _part(path)
        try:
            part.mkdir()
            yield part
            part.replace(path)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        if not path.is_dir():
            raise DataError(_message(path, error)) from error


def sync(path: Path) -> None:
    """Write a file, or all files in a folder, to the disk. Some systems report a full disk only here, by an OSError."""
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file():
            with file.open("r+b") as written:
                os.fsync(written.fileno())


def _check_replaceable(path: Path) -> None:
    """Raise OSError if a new file at `path` would replace a device, a FIFO or a socket, or a link to one."""
    if os.path.realpath(path.parent) == "/dev" or (there(path) and not path.is_dir() and not is_file(path)):
        raise OSError(errno.EINVAL, "not a regular file")


def _part(path: Path) -> Path:
    """Return a temporary path beside `path`. Create the folder of `path`, and remove leftovers from it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent)
    return path.with_name(f"{_unfinished()}{os.getpid()}-{threading.get_ident()}-{_short(path.name)}.part")


def remove_leftovers(folder: Path) -> None:
    """Remove the unfinished files and folders in a folder that belong to killed processes of this machine."""
    begin = _unfinished()
    for name in os.listdir(folder):
        if name.startswith(begin) and name.endswith(".part"):
            pid = name.removeprefix(begin).split("-")[0]
            if pid.isdigit() and not _runs(int(pid)):
                _remove(folder / name)


def cause(error: OSError) -> str:
    """Return why a file cannot be written and, if it is known, what to do, as a sentence."""
    return _CAUSES.get(error.errno or 0) or f"{error.strerror or error}."


def _message(path: Path, error: OSError) -> str:
    """Return the message for a file that cannot be written."""
    advice = "" if error.errno in _CAUSES else " Choose a path that can be written."
    return f"Cannot write {path}: {cause(error)}{advice}"


def _remove(path: Path) -> None:
    """Remove a file, or a folder with its content."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _unfinished() -> str:
    """Return the start of the names of this machine's unfinished files. After it comes the number of the process."""
    return f".{_short(platform.node())}-"


def _runs(pid: int) -> bool:
    """Return whether a process is running; True if this cannot be found out."""
    if os.name != "posix":  # on other systems, `os.kill` with the signal 0 may end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _short(text: str) -> str:
    """Return 8 hex digits of the SHA-256 hash of a text."""
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:8]


def os_error(error: Exception) -> OSError:
    """Return the OSError that an error of safetensors or lance contains as text."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(found[1]), os.strerror(int(found[1]))) if found else OSError(str(error))
