"""Conversion of list entries and cells to images: paths, Pillow images, arrays, and bytes of a file."""

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

_LOCK = threading.Lock()  # Pillow reads the pixels of an image at first use, which two threads must not do at once


def picture_of(entry: Any, bases: Sequence[Path], name: str) -> tuple[Picture, str]:
    """Return the image of a list entry or cell, and its path as written ('' if the entry is not a path).

    Parameters
    ----------
    entry : a path, a Pillow image, an array or tensor, bytes of an image file, or a mapping with `bytes` and `path`, as
        in datasets of Hugging Face.
    bases : folders to which paths are relative. The first folder that contains the file is used.
    name : name of an entry that is not a path, for messages.

    Raises
    ------
    DataError
        The entry has another type.
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
        f"Expected paths, images or arrays, but {name} is of the type {type(entry).__name__}. Give paths, or "
        "images that Pillow or numpy hold."
    )


def _as_file(picture: Any) -> bytes:
    """Return an image in memory as the bytes of a file."""
    with _LOCK:
        return as_file(picture if isinstance(picture, Image.Image) else np.asarray(picture))


def _locate(bases: Sequence[Path], text: str) -> Path:
    """Return the path below the first folder that contains the file, or else below the first folder."""
    spellings = (text, text.replace("\\", "/")) if "\\" in text else (text,)  # a table written on Windows
    found = (base / spelling for spelling in spellings for base in bases if there(base / spelling))
    return next(found, bases[0] / spellings[-1])
