"""Named arrays and texts of a file: npz, safetensors or parquet. Nothing in it is ever run."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from srrs.data.tables import read_table
from srrs.errors import DataError

KINDS = (".npz", ".safetensors", ".parquet")


def read_arrays(path: Path) -> dict[str, Any]:
    """What a file holds, by name: arrays, lists of texts, and of safetensors the entries of its metadata.

    Raises
    ------
    DataError
        The file is missing, damaged, of another kind, or an npz that holds pickled objects.
    MissingExtraError
        A parquet file, and pyarrow is not installed.
    """
    wanted = f"Expected embeddings as {', '.join(KINDS)} at {path}"
    kind = path.suffix.lower()
    if not path.is_file() or kind not in KINDS:
        raise DataError(f"{wanted}, but found {'another kind of file' if path.is_file() else 'no such file'}.")
    try:
        return {".npz": _npz, ".safetensors": _safetensors, ".parquet": _parquet}[kind](path)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, _damaged()) as error:
        pickled = "allow_pickle" in str(error)
        reason = "it holds pickled objects: save texts as plain text arrays" if pickled else f"cannot read it: {error}"
        raise DataError(f"{wanted}, but {reason}.") from None


def _npz(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream, np.load(stream) as file:  # which refuses pickled objects unless told otherwise
        return {name: file[name] for name in file.files}


def _safetensors(path: Path) -> dict[str, Any]:
    import torch
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
        texts = {name: _text(text) for name, text in (file.metadata() or {}).items()}
    arrays = {n: (t.float() if t.dtype == torch.bfloat16 else t).numpy() for n, t in tensors.items()}
    return texts | arrays


def _text(text: str) -> Any:
    """A metadata entry: JSON where it is a list or a number, else the text itself."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, list | int | float) and not isinstance(value, bool) else text


def _parquet(path: Path) -> dict[str, Any]:
    return {name: _column(column) for name, column in read_table(path).items()}


def _column(entries: list[Any]) -> Any:
    """An array of the lists in a column, NaN where one is missing; other columns as they are."""
    sizes = {len(entry) for entry in entries if isinstance(entry, list)}
    if len(sizes) != 1:
        return entries
    empty = [np.nan] * sizes.pop()
    return np.array([empty if entry is None else entry for entry in entries], dtype=np.float32)


def _damaged() -> type[Exception]:
    from safetensors import SafetensorError

    return SafetensorError


def first_of(arrays: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """The first of the named entries that is there, else None."""
    return next((arrays[name] for name in names if name in arrays), None)
