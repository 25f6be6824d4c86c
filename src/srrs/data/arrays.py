"""Functions that read files of arrays (npz, npy, safetensors, parquet).

Pickled objects are refused, so no code of a file is run.
"""

import json
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from srrs import checksum
from srrs.data.tables import read_parquet
from srrs.errors import DataError, SrrsError
from srrs.io import check_regular, is_file

KINDS = (".npz", ".safetensors", ".npy", ".parquet")
"""Extensions of files of arrays."""
MOST = 2**36
"""Largest number of bytes of an array in an npz file, because the whole array is read into memory."""
MAPPED = 2**26
"""Arrays of safetensors and npy files with more bytes stay on disk, and their rows are read when they are needed."""
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1"}
"""numpy's names of the types of safetensors."""


def read_arrays(path: Path) -> dict[str, Any]:
    """Return the entries of a file by name: arrays, lists of texts, and the metadata of safetensors.

    Raises
    ------
    DataError
        The file is missing, damaged, of another kind, or contains pickled objects.
    MissingExtraError
        The file is a parquet file, and pyarrow is not installed.
    """
    wanted = f"Expected embeddings as {', '.join(KINDS)} at {path}"
    kind = path.suffix.lower()
    if not is_file(path) or kind not in KINDS:
        raise DataError(f"{wanted}, but found {'another kind of file' if is_file(path) else 'no such file'}.")
    try:
        check_regular(path)
        return {".npz": _npz, ".npy": _npy, ".safetensors": _safetensors, ".parquet": _parquet}[kind](path)
    except SrrsError:
        raise
    except Exception as error:  # these libraries raise nearly any error for damaged bytes, also zlib.error
        pickled = "pickle" in str(error) or "Python objects" in str(error)
        reason = f"cannot read it: {error or type(error).__name__}"
        if pickled:
            reason = "it holds pickled objects: save texts as plain text arrays"
        raise DataError(f"{wanted}, but {reason}.") from None


def _npz(path: Path) -> dict[str, Any]:
    """Return the arrays of an npz file."""
    with zipfile.ZipFile(path) as archive:
        return {
            member.filename.removesuffix(".npy"): _member(archive, member)
            for member in archive.infolist()
            if member.filename.endswith(".npy")
        }


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """Return one array of an npz file. Raises ValueError if its header gives more bytes than the archive contains."""
    with archive.open(member) as stream:
        size = _claimed(stream)
        if size > MOST or size > member.file_size:
            raise ValueError(
                f"the array {member.filename} claims {size / 2**30:,.0f} GB and has {member.file_size:,} bytes"
            )
    with archive.open(member) as stream:
        array = np.asarray(np.lib.format.read_array(stream))  # refuses pickled objects by default
    if array.dtype.kind == "U" and array.size and _code_points(array).max() > sys.maxunicode:
        raise ValueError(f"the texts of {member.filename} are not Unicode")
    return array


def _code_points(texts: np.ndarray) -> np.ndarray:
    """Return the code points of all characters of an array of texts, zeros at their ends included."""
    return np.frombuffer(texts.tobytes(), f"{texts.dtype.byteorder}u4".replace("|", "="))


def _claimed(stream: Any) -> int:
    """Return the number of bytes that the header of an array in the npy format gives for the array."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"the version {version} of its arrays is not known")
    read: Any = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = read(stream)
    if kind.hasobject:
        raise ValueError("it holds Python objects")
    size = int(kind.itemsize)
    for length in shape:
        size *= int(length)
    return size


def _npy(path: Path) -> dict[str, Any]:
    """Return the array of an npy file as `embeddings`."""
    array = np.load(path, mmap_mode="r")
    return {"embeddings": array if array.nbytes > MAPPED else np.array(array)}


def _safetensors(path: Path) -> dict[str, Any]:
    """Return the arrays and the metadata of a safetensors file."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:  # checks that the header and the size of the file agree
        if checksum.is_whole(path) is False:
            raise ValueError("it is not as it was written (its checksum differs): make it again")
        about = file.metadata() or {}
        texts = {name: _text(text) for name, text in about.items() if name != checksum.NAME}
        with path.open("rb") as stream:
            header, start = _header(stream)
        arrays = {name: _mapped(path, header[name], start) for name in file.keys()}  # noqa: SIM118  no mapping
        for name in [name for name, array in arrays.items() if array is None]:
            arrays[name] = file.get_tensor(name).float().numpy()
    return texts | arrays


def _header(stream: BinaryIO) -> tuple[dict[str, Any], int]:
    """Return the header of a safetensors file, and the position of the first array."""
    size = int.from_bytes(stream.read(8), "little")
    return json.loads(stream.read(size)), 8 + size


def _mapped(path: Path, entry: Mapping[str, Any], start: int) -> np.ndarray | None:
    """Return an array of the file, copied if it is small, else memory-mapped; None for another type."""
    if entry["dtype"] not in _TYPES:
        return None
    kind, shape = np.dtype(_TYPES[entry["dtype"]]), tuple(entry["shape"])
    first, last = entry["data_offsets"]
    if first == last:
        return np.zeros(shape, kind)
    array = np.memmap(path, kind, "r", start + first, shape)
    return array if array.nbytes > MAPPED else np.array(array)


def _text(text: str) -> Any:
    """Return a metadata entry: a list or number if the text is one in JSON, else the text itself."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, list | int | float) and not isinstance(value, bool) else text


def _parquet(path: Path) -> dict[str, Any]:
    """Return the columns of a parquet file by name."""
    table = read_parquet(path)
    return {name: _column(table.column(at)) for at, name in enumerate(table.column_names)}


def _column(column: Any) -> Any:
    """Return a column of lists of equal length as an array, with NaN for a missing list. Return others as a list."""
    import pyarrow as pa

    kind = column.type
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if listed and column.null_count == 0 and pa.types.is_floating(kind.value_type) and len(column):
        flat = pa.chunked_array([chunk.flatten() for chunk in column.chunks], kind.value_type)
        sizes = {size for chunk in column.chunks for size in np.unique(chunk.value_lengths()).tolist()}
        if len(sizes) == 1 and flat.null_count == 0:
            return flat.to_numpy().reshape(len(column), -1)
    entries = column.to_pylist()
    lengths = {len(entry) for entry in entries if isinstance(entry, list)}
    if len(lengths) != 1:
        return entries
    empty = [np.nan] * lengths.pop()
    return np.array([empty if entry is None else entry for entry in entries], dtype=np.float32)


def first_of(arrays: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """Return the entry of the first of `names` that exists; None if none exists."""
    return next((arrays[name] for name in names if name in arrays), None)
