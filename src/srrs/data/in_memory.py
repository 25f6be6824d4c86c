"""Pictures that a user holds in memory (Pillow's, arrays, bytes of a file) beside paths, as the entries of a list."""

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from srrs.data.images import as_file
from srrs.data.pictures import NOWHERE, Picture, Stored
from srrs.data.tables import text_of
from srrs.errors import DataError
from srrs.io import there

_LOCK = threading.Lock()  # Pillow reads a picture's pixels when they are first asked for, which two threads must not do


def picture_of(entry: Any, bases: Sequence[Path], name: str) -> tuple[Picture, str]:
    """What an entry of a list or column shows, and its path as written ('' where it is none).

    Parameters
    ----------
    entry: a path, a Pillow picture, an array or tensor, bytes of a picture file, or a mapping with `bytes` and `path`
        as Hugging Face's data sets store pictures.
    bases: folders that paths start from; the first that has the file.
    name: how messages call an entry that is no path.

    Raises
    ------
    DataError
        The entry is something else.
    """
    if isinstance(entry, Mapping) and {"bytes", "path"} & entry.keys():
        entry = entry.get("bytes") or entry.get("path")
    if isinstance(entry, Stored):
        return entry, ""
    if isinstance(entry, str | os.PathLike):
        return _locate(bases, text_of(os.fspath(entry))), text_of(os.fspath(entry))
    if entry is None or isinstance(entry, float):  # an empty cell
        return NOWHERE, ""
    if isinstance(entry, bytes | bytearray):
        data = bytes(entry)
        return Stored(name, lambda: data), ""
    if isinstance(entry, Image.Image) or hasattr(entry, "__array__"):
        return Stored(name, lambda: _as_file(entry)), ""
    raise DataError(
        f"Expected paths, pictures or arrays, but {name} is of the type {type(entry).__name__}. Give paths, or "
        "pictures that Pillow or numpy hold."
    )


def _as_file(picture: Any) -> bytes:
    with _LOCK:
        return as_file(picture if isinstance(picture, Image.Image) else np.asarray(picture))


def _locate(bases: Sequence[Path], text: str) -> Path:
    """The file below the first base that has it; below the first one where none has."""
    spellings = (text, text.replace("\\", "/")) if "\\" in text else (text,)  # a table written on Windows
    found = (base / spelling for spelling in spellings for base in bases if there(base / spelling))
    return next(found, bases[0] / spellings[-1])
