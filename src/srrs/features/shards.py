"""The feature store on disk: every view of an image is encoded once, by content, and read from disk afterwards.

A model has one folder, named by all that changes the bits: its fingerprint and preprocessing, the device and the
libraries. In it a shard holds features of one view and the keys of their images, whose digest is its name. Shards are
only ever added, each by one rename, so a killed run loses what it had not written and harms nothing else. A shard that
does not parse is passed over and its images are encoded again.

An image's bits may depend on the batch it was encoded in, by rounding. So batches are cut from the sorted keys of the
whole set: the order of rows, an interruption and the number of views change no bit.
"""

import contextlib
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file

from srrs.errors import DataError, SettingsError

Halves = NDArray[np.float16]
Keys = NDArray[np.bytes_]
"""(n,) raw 32-byte digests."""

FORMAT = 1
"""Raised when decoding, view draws or the layout of shards change: older features are then left alone."""
_FLUSH_ROWS = 16_384
_FLUSH_SECONDS = 30.0
_DESCRIPTION = "model.json"


def cache_limit() -> int:
    """Most bytes that features may take on disk: `SRRS_CACHE_LIMIT_GB`, 20 if not set.

    Raises
    ------
    SettingsError
        It is not a number above 0.
    """
    text = os.environ.get("SRRS_CACHE_LIMIT_GB") or "20"
    with contextlib.suppress(ValueError):
        if float(text) > 0:
            return int(min(float(text), 1e9) * 2**30)
    raise SettingsError(f"Expected SRRS_CACHE_LIMIT_GB to be a number of gigabytes above 0, but it is '{text}'.")


def model_folder(cache: Path, description: dict[str, object]) -> Path:
    """The folder of a model's features below a cache folder, made where it is not there yet and marked as used now.

    Parameters
    ----------
    description: all that changes the bits of a feature, as JSON; versions are added.
    """
    versions = {"format": FORMAT, "torch": torch.__version__, "pillow": PIL.__version__}
    text = json.dumps({**description, **versions}, sort_keys=True, indent=1)
    folder = cache / "features" / hashlib.sha256(text.encode()).hexdigest()[:32]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / _DESCRIPTION).exists():
            temporary = folder / f"{uuid.uuid4().hex}.tmp"
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, folder / _DESCRIPTION)
        os.utime(folder / _DESCRIPTION)
    except OSError as error:
        raise _unwritable(folder, error) from None
    return folder


def trim(cache: Path, keep: Path, limit: int) -> list[Path]:
    """Remove least recently used models until the features take at most `limit` bytes; `keep` always stays."""
    with contextlib.suppress(OSError):  # another run may be removing the same folder
        used = {path.parent: path.stat().st_mtime for path in (cache / "features").glob(f"*/{_DESCRIPTION}")}
        sizes = {folder: sum(path.stat().st_size for path in folder.iterdir()) for folder in used}
        removed = []
        for folder in sorted(used, key=lambda folder: used[folder]):
            if folder != keep and sum(sizes.values()) > limit:
                shutil.rmtree(folder, ignore_errors=True)
                del sizes[folder]
                removed.append(folder)
        return removed
    return []


@dataclass(frozen=True)
class Shard:
    """Features of one view, memory-mapped where they come from disk."""

    keys: Keys
    features: Halves
    """(n, D)"""


class FeatureStore:
    """One model's features: (view, image key) -> (D,) float16.

    Parameters
    ----------
    folder: from `model_folder`; None keeps everything in memory.
    size: D.
    """

    def __init__(self, folder: Path | None, size: int):
        self.folder = folder
        self.size = size
        self._shards: dict[str, list[Shard]] = {}
        self._pending: dict[str, list[Shard]] = {}
        self._flushed = time.monotonic()

    def missing(self, view: str, keys: Keys) -> NDArray[np.bool_]:
        """(n,) which of the keys the store lacks for this view."""
        known = [shard.keys for shard in (*self._read(view), *self._pending.get(view, ()))]
        return ~np.isin(keys, np.concatenate(known)) if known else np.ones(len(keys), dtype=bool)

    def add(self, view: str, keys: Keys, features: Halves) -> None:
        """Keep (n, D) features; they are on disk after `flush`, which comes by itself every half minute."""
        self._pending.setdefault(view, []).append(Shard(keys, features))
        rows = sum(len(shard.keys) for shards in self._pending.values() for shard in shards)
        if rows >= _FLUSH_ROWS or time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what was added."""
        for view in list(self._pending):
            shards = self._read(view)
            parts = self._pending[view]
            shard = Shard(np.concatenate([p.keys for p in parts]), np.concatenate([p.features for p in parts]))
            shards.append(shard if self.folder is None else write_shard(self.folder, view, shard))
            del self._pending[view]
        self._flushed = time.monotonic()

    def gather(self, view: str, keys: Keys, out: Halves) -> None:
        """Copy the features of the keys into `out` (n, D); all of them must be there, flushed."""
        shards = self._read(view)
        known = np.concatenate([shard.keys for shard in shards])
        order = np.argsort(known, kind="stable")
        row = order[np.searchsorted(known, keys, sorter=order)]
        start = 0
        for shard in shards:
            here = (row >= start) & (row < start + len(shard.keys))
            out[here] = shard.features[row[here] - start]
            start += len(shard.keys)

    def _read(self, view: str) -> list[Shard]:
        if view not in self._shards:
            files = [] if self.folder is None else sorted(self.folder.glob(f"{view}-*.safetensors"))
            shards = [_map(path, self.size) for path in files]
            self._shards[view] = [shard for shard in shards if shard is not None]
        return self._shards[view]


def pack_keys(keys: Sequence[str]) -> Keys:
    """Hexadecimal sha256 digests as an array."""
    return np.array([bytes.fromhex(key) for key in keys], dtype="S32")


def find_shard(folder: Path, view: str, keys: Keys, size: int) -> Shard | None:
    """Return the shard that holds exactly these keys, in this order; None where there is none, or a damaged one."""
    return _map(_path(folder, view, keys), size)


def write_shard(folder: Path, view: str, shard: Shard) -> Shard:
    """Write a shard unless it is there already, by one rename, and return it as it lies on disk."""
    if known := find_shard(folder, view, shard.keys, shard.features.shape[1]):
        return known
    temporary = folder / f"{uuid.uuid4().hex}.tmp"  # several runs may write to one folder at a time
    raw = np.frombuffer(shard.keys.tobytes(), dtype=np.uint8).reshape(-1, 32)
    try:
        save_file({"features": np.ascontiguousarray(shard.features), "keys": raw}, temporary)
        os.replace(temporary, _path(folder, view, shard.keys))
    except (OSError, SafetensorError) as error:
        raise _unwritable(folder, error) from None
    finally:
        temporary.unlink(missing_ok=True)
    return find_shard(folder, view, shard.keys, shard.features.shape[1]) or shard


def _path(folder: Path, view: str, keys: Keys) -> Path:
    return folder / f"{view}-{hashlib.sha256(keys.tobytes()).hexdigest()[:32]}.safetensors"


def _map(path: Path, size: int) -> Shard | None:
    """A shard's arrays, mapped from disk; None where the file is damaged."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, 2**16)))
        (begin, end), (first, last) = (header[name]["data_offsets"] for name in ("features", "keys"))
        rows = header["keys"]["shape"][0]
        whole = path.stat().st_size == 8 + length + max(end, last)
        if not whole or header["features"]["shape"] != [rows, size] or header["features"]["dtype"] != "F16":
            return None
        if not rows or end - begin != rows * size * 2 or last - first != rows * 32:
            return None
        features = np.memmap(path, np.float16, "r", offset=8 + length + begin, shape=(rows, size))
        return Shard(np.array(np.memmap(path, "S32", "r", offset=8 + length + first, shape=(rows,))), features)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _unwritable(folder: Path, error: Exception) -> DataError:
    return DataError(
        f"Expected to write features to {folder}, but could not: {error}. Free some space, or set "
        "SRRS_CACHE to a folder that can be written."
    )
