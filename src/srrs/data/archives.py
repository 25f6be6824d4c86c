"""Images inside larger files: WebDataset shards (tar) and parquet shards.

An image is read from its position in the tar file. The images of a parquet file are first copied, in their order, into
one file of the cache, because single images of a parquet file cannot be read.
"""

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from srrs.cache import make_room, mark_used
from srrs.data.folders import is_picture
from srrs.data.options import ReadOptions
from srrs.data.pictures import Slice, Stored
from srrs.data.readers import table_samples
from srrs.data.rows import Samples
from srrs.data.tables import PATH_COLUMNS, Table, columns_of, parquet_schema, read_table
from srrs.errors import DataError
from srrs.io import atomic, cache_root

SHARDS = (".tar", ".parquet")
"""Extensions of shards."""
AT_ONCE = 256
"""Number of rows of a parquet file that are in memory at a time."""
MOST_TEXT = 2**20
"""Largest number of bytes of a label file or JSON file inside a tar file."""


def find_shards(folder: Path) -> list[Path]:
    """Return the sorted tar files of a folder without subfolders or, if it has none, the sorted parquet files."""
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    if any(path.is_dir() for path in entries):
        return []
    of_kind = ([path for path in entries if path.suffix.lower() == kind] for kind in SHARDS)
    return next(filter(None, of_kind), [])


def shard_samples(files: Sequence[Path], options: ReadOptions, source: str) -> Samples:
    """Read tar or parquet shards as one table. `source` is the name of the source in messages.

    Raises
    ------
    DataError
        A shard is damaged or compressed, or contains a path that is absolute or has `..`; or parquet shards have
        different columns.
    MissingExtraError
        The shards are parquet files, and pyarrow is not installed.
    """
    if files[0].suffix.lower() == ".tar":
        rows = [row for file in files for row in _tar_rows(file, f"{file.stem}/" if len(files) > 1 else "")]
        names = dict.fromkeys(name for row in rows for name in row)
        table: Table = {name: [row.get(name) for row in rows] for name in names}
        return table_samples(table, options.with_(path_column="path", pictured=True), source)
    tables = [_parquet_table(file, options) for file in files]
    for file, other in zip(files, tables, strict=True):
        if set(other) != set(tables[0]):
            raise DataError(f"Expected the columns of {files[0]} in all shards, but {file} has others.")
    whole = {name: [cell for table in tables for cell in table[name]] for name in tables[0]}
    images = files[0].parent if options.images is None else options.images
    return table_samples(whole, options.with_(images=images), source, stranger=True)


def holds_images(path: Path, options: ReadOptions) -> bool:
    """Return whether a parquet file contains the images themselves, instead of their paths."""
    return bool(columns_of(path)) and _image_column(path, options) is not None


def _tar_rows(file: Path, prefix: str) -> Iterator[dict[str, Any]]:
    """Yield a table row for each image of a tar file. Files with the same path up to the first dot are one sample.

    `prefix` is put before the ids. Raises DataError as `shard_samples` does.
    """
    wanted = f"Expected an uncompressed tar file of images at {file}"
    images: list[tuple[str, str, Slice]] = []
    facts: dict[str, dict[str, Any]] = {}
    try:
        with tarfile.open(file, "r:") as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                if not member.isfile() or member.issparse() or path.name.startswith("."):
                    continue
                if path.is_absolute() or ".." in path.parts:
                    raise DataError(f"Expected paths inside {file}, but found '{member.name}', which leads outside.")
                key, _, kind = path.name.partition(".")
                key = (path.parent / key).as_posix()
                if is_picture(member.name):
                    images.append((key, member.name, Slice(file, member.offset_data, member.size)))
                elif kind in ("cls", "json") and member.size <= MOST_TEXT:
                    text = archive.extractfile(member).read()  # type: ignore[union-attr]
                    facts.setdefault(key, {}).update({"label": text} if kind == "cls" else _fields(text, member.name))
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{wanted}, but could not read it: {error}.") from None
    for key, name, place in images:
        yield {**facts.get(key, {}), "id": prefix + name, "path": Stored(f"{file}:{name}", place)}


def _fields(text: bytes, name: str) -> dict[str, Any]:
    """Return the texts and numbers of a JSON object by name. Raises DataError if the text is not JSON."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"Expected JSON in {name}, but found: {error}.") from None
    fields = found.items() if isinstance(found, dict) else ()
    return {name: value for name, value in fields if isinstance(value, str | int | float) and value is not True}


def _image_column(path: Path, options: ReadOptions) -> str | None:
    """Return the name of the column that contains the bytes of images; None if there is no such column."""
    import pyarrow as pa

    schema = parquet_schema(path)
    known = {name.lower(): name for name in reversed(schema.names)}
    asked = PATH_COLUMNS if options.path_column is None else (options.path_column,)
    name = next((known[name.lower()] for name in asked if name.lower() in known), None)
    if name is None:
        return None
    kind = schema.field(name).type
    inside = pa.types.is_struct(kind) and "bytes" in {field.name for field in kind}
    return name if inside or pa.types.is_binary(kind) or pa.types.is_large_binary(kind) else None


def _parquet_table(file: Path, options: ReadOptions) -> Mapping[str, list[Any]]:
    """Return the columns of a parquet shard. Images are entries that are read from their copy in the cache."""
    column = _image_column(file, options)
    if column is None:
        return read_table(file)
    table = read_table(file, without=column)
    copy, sizes = _copied(file, column)
    ends = np.cumsum(np.maximum(sizes, 0)).tolist()
    entries = [
        Stored(f"row {row} of {file}", Slice(copy, end - size, size) if size >= 0 else None)
        for row, (size, end) in enumerate(zip(sizes.tolist(), ends, strict=True), 1)
    ]
    return {**table, column: entries}


def _copied(file: Path, column: str) -> tuple[Path, np.ndarray]:
    """Copy the images of a parquet file into one file of the cache. Return this file and the size of each image.

    The size of a missing image is -1. If the copy exists already, it is used.
    """
    state = file.stat()
    name = f"{os.path.abspath(file)}\0{column}\0{state.st_size}\0{state.st_mtime_ns}"
    copies = cache_root() / "shards"
    copy = copies / hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
    images, lengths = copy / "images", copy / "sizes.npy"
    if lengths.exists():
        mark_used(lengths)
        return images, np.load(lengths)
    make_room(copies)
    sizes = []
    with atomic(images) as part, part.open("wb") as out:
        for content in _contents(file, column):
            sizes.append(-1 if content is None else len(content))
            out.write(content or b"")
    with atomic(lengths) as part, part.open("wb") as out:
        np.save(out, np.array(sizes, np.int64))
    return images, np.load(lengths)


def _contents(file: Path, column: str) -> Iterator[bytes | None]:
    """Yield the bytes of each image of a parquet file; None for a missing image. Raises DataError if it is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as shard:
            for batch in shard.iter_batches(AT_ONCE, columns=[column]):
                cells = batch.column(0)
                yield from (cells.field("bytes") if pa.types.is_struct(cells.type) else cells).to_pylist()
    except Exception as error:  # pyarrow raises nearly any error for damaged bytes
        raise DataError(
            f"Expected images in the column {column} of {file}, but could not read them: {error}."
        ) from None
