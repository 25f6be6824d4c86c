"""Writing a file so that a reader finds either the old one or the whole new one."""

import os
from pathlib import Path

from srrs.errors import DataError


def write_atomic(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write `content` to `path`, making its folder where needed. Raises DataError where that is not possible."""
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}. Choose a path that can be written.") from error
    return path
