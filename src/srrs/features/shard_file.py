"""One file of the feature store: the features of one view and the keys of their images, with a checksum.

n images, D feature size.
"""

import contextlib
import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from srrs import checksum
from srrs.io import save_tensors

Halves = NDArray[np.float16]
Keys = NDArray[np.bytes_]
"""(n,) digests of images, as 32 raw bytes."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shard:
    """The features of one view in memory."""

    keys: Keys
    """(n,) digests of the images."""
    features: Halves
    """(n, D)."""


@dataclass(frozen=True)
class ShardFile:
    """The features of one view on disk. Only the keys are in memory, and no file stays open."""

    path: Path
    keys: Keys
    """(n,) digests of the images."""
    size: int
    """Feature size D."""
    offset: int
    """Number of bytes before the features."""

    @property
    def features(self) -> Halves:
        """Return the features (n, D), memory-mapped."""
        return np.memmap(self.path, np.float16, "r", offset=self.offset, shape=(len(self.keys), self.size))


def pack_keys(keys: Sequence[str]) -> Keys:
    """Return the hexadecimal sha256 digests as an array (n,)."""
    return np.array([bytes.fromhex(key) for key in keys], dtype="S32")


def heads(keys: Keys) -> NDArray[np.uint64]:
    """Return the first eight bytes of each key (n,) as a number."""
    return np.ascontiguousarray(keys).view(np.uint64)[::4]


def find_shard(folder: Path, view: str, keys: Keys, size: int) -> ShardFile | None:
    """Return the shard with exactly these keys (n,), in this order; None if it does not exist or is damaged.

    `view` is the name of the view, and `size` the feature size D.
    """
    path = _path(folder, view, keys)
    with contextlib.suppress(OSError):
        if (shard := open_shard(path, view, size)) and checksum.is_whole(path):
            return shard
    return None


def write_shard(folder: Path, view: str, shard: Shard) -> Path:
    """Write a shard and return its path. If its file exists already, nothing is written.

    Raises DataError if the file cannot be written.
    """
    path = _path(folder, view, shard.keys)
    if find_shard(folder, view, shard.keys, shard.features.shape[1]) is None:
        raw = np.frombuffer(shard.keys.tobytes(), dtype=np.uint8).reshape(-1, 32)
        save_tensors(path, {"features": np.ascontiguousarray(shard.features), "keys": raw}, _about(folder, view))
    return path


def _path(folder: Path, view: str, keys: Keys) -> Path:
    """Return the path of the shard with these keys."""
    return folder / f"{view}-{hashlib.sha256(keys.tobytes()).hexdigest()[:32]}.safetensors"


def _about(folder: Path, view: str) -> dict[str, str]:
    """Return the metadata of a shard, by which a shard with another name or in another folder is noticed."""
    return {"view": view, "model": folder.name}


def open_shard(path: Path, view: str, size: int) -> ShardFile | None:
    """Return the shard in a file; None if the header is not that of a shard of this view and this feature size.

    Raises OSError if the file cannot be read. The checksum is not verified.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, 2**16)))
        about = header["__metadata__"]
        if _about(path.parent, view).items() - about.items() or checksum.NAME not in about:
            return None
        (begin, end), (first, last) = (header[name]["data_offsets"] for name in ("features", "keys"))
        rows = header["keys"]["shape"][0]
        whole = path.stat().st_size == 8 + length + max(end, last)
        if not whole or header["features"]["shape"] != [rows, size] or header["features"]["dtype"] != "F16":
            return None
        if not rows or end - begin != rows * size * 2 or last - first != rows * 32:
            return None
        keys = np.array(np.memmap(path, "S32", "r", offset=8 + length + first, shape=(rows,)))
        return ShardFile(path, keys, size, 8 + length + begin)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def remove_damaged(paths: Sequence[Path], count: int) -> None:
    """Remove damaged shards, and log how many of `count` shards they are."""
    if not paths:
        return
    _LOG.warning(
        "%d of %d files of cached features in %s are damaged: they are removed, and their images encoded again.",
        len(paths), count, paths[0].parent,
    )  # fmt: skip
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
