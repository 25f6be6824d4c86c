"""The feature store on disk. Every view of an image is encoded once, and read from disk afterwards.

Each model has a folder. The name of the folder depends on everything that changes the bits of a feature: the model's
fingerprint and preprocessing, the device and the libraries. A shard is a file in this folder. It contains the features
of one view and the keys of their images, and its name is the digest of these keys. Shards are only added, completely or
not at all, so a killed run loses only the features that it had not written. A shard has a checksum, which is verified
when the first feature of the shard is read. A damaged shard is removed, and its images are encoded again.

Because of rounding, the bits of a feature may depend on the batch in which the image was encoded. Therefore batches are
made from the sorted keys of the whole dataset. The order of the images, an interruption and the number of views do not
change the features.

n images, D feature size.
"""

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path

import numpy as np
import PIL
import torch
from numpy.typing import NDArray

from srrs import checksum
from srrs.cache import trim
from srrs.errors import DataError
from srrs.features.shard_file import Halves, Keys, Shard, ShardFile, heads, open_shard, remove_damaged, write_shard
from srrs.io import remove_leftovers, write_atomic

FORMAT = 2
"""Version of the stored features. It changes if decoding, draws of views or shards change. Features of another version
are not used."""
_FLUSH_ROWS = 16_384
"""Number of added features after which they are written to disk."""
_FLUSH_SECONDS = 30.0
"""Time after which added features are written to disk, in seconds."""
_DESCRIPTION = "model.json"
"""Name of the file that describes a model in its folder. Its modification time is the time of the last use."""


def model_folder(cache: Path, description: dict[str, object]) -> Path:
    """Return the folder of a model's features in a cache folder. It is made if needed, and its time of use is updated.

    Raises DataError if the folder cannot be written.

    Parameters
    ----------
    cache : the cache folder.
    description : everything that changes the bits of a feature, as JSON; versions of libraries are added.
    """
    versions = {"format": FORMAT, "torch": torch.__version__, "pillow": PIL.__version__}
    text = json.dumps({**description, **versions}, sort_keys=True, indent=1)
    folder = cache / "features" / hashlib.sha256(text.encode()).hexdigest()[:32]
    try:
        if not (folder / _DESCRIPTION).exists():
            write_atomic(folder / _DESCRIPTION, text.encode())
        remove_leftovers(folder)
        os.utime(folder / _DESCRIPTION)
    except (OSError, DataError) as error:
        raise _unwritable(error) from None
    return folder


def trim_features(cache: Path, keep: Path) -> list[Path]:
    """Remove the folders of the least recently used models until the features take at most `cache_limit()` bytes.

    Return the removed folders. The folder `keep` and those that were used later are not removed.
    """
    with contextlib.suppress(OSError):  # another run may have removed the folder
        return trim(cache / "features", _DESCRIPTION, before=(keep / _DESCRIPTION).stat().st_mtime)
    return []


class FeatureStore:
    """The stored features of one model: a mapping from a view and an image key to a feature (D,) in float16.

    Parameters
    ----------
    folder : the result of `model_folder`; None keeps all features in memory.
    size : feature size D.
    """

    def __init__(self, folder: Path | None, size: int):
        self.folder = folder
        self.size = size
        self._shards: dict[str, list[Shard | ShardFile]] = {}
        self._pending: dict[str, list[Shard]] = {}
        self._verified: set[Path] = set()
        self._flushed = time.monotonic()

    def missing(self, view: str, keys: Keys) -> NDArray[np.bool_]:
        """Return which of the keys (n,) have no stored feature of this view."""
        known = [shard.keys for shard in (*self._holding(view, keys), *self._pending.get(view, ()))]
        return ~np.isin(keys, np.concatenate(known)) if known else np.ones(len(keys), dtype=bool)

    def add(self, view: str, keys: Keys, features: Halves) -> None:
        """Add features (n, D) of the keys (n,). `flush` writes them to disk; it is also called every half minute."""
        self._pending.setdefault(view, []).append(Shard(keys, features))
        rows = sum(len(shard.keys) for shards in self._pending.values() for shard in shards)
        if rows >= _FLUSH_ROWS or time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the added features to disk."""
        for view in list(self._pending):
            shards = self._read(view)
            parts = self._pending[view]
            shard = Shard(np.concatenate([p.keys for p in parts]), np.concatenate([p.features for p in parts]))
            shards.append(shard if self.folder is None else self._written(self.folder, view, shard))
            del self._pending[view]
        self._flushed = time.monotonic()

    def gather(self, view: str, keys: Keys, out: Halves) -> None:
        """Copy the features of the keys (n,) into `out` (n, D). All of these features must be stored."""
        shards = self._holding(view, keys)
        known = np.concatenate([shard.keys for shard in shards])
        order = np.argsort(known, kind="stable")
        row = order[np.searchsorted(known, keys, sorter=order)]
        start = 0
        for shard in shards:
            here = (row >= start) & (row < start + len(shard.keys))
            out[here] = shard.features[row[here] - start]
            start += len(shard.keys)

    def _holding(self, view: str, keys: Keys) -> list[Shard | ShardFile]:
        """Return the shards of a view that contain any of the keys. Damaged shards are removed."""
        wanted = np.sort(heads(keys))
        if not len(wanted):
            return []
        holding: list[Shard | ShardFile] = []
        damaged: list[ShardFile] = []
        for shard in self._read(view):
            at = np.searchsorted(wanted, heads(shard.keys)).clip(max=len(wanted) - 1)
            if not (wanted[at] == heads(shard.keys)).any():
                continue
            if isinstance(shard, Shard) or self._is_whole(shard):
                holding.append(shard)
            else:
                damaged.append(shard)
        if damaged:
            left = [shard for shard in self._read(view) if all(shard is not other for other in damaged)]
            self._shards[view] = left
            remove_damaged([shard.path for shard in damaged], len(left) + len(damaged))
        return holding

    def _is_whole(self, shard: ShardFile) -> bool:
        """Return whether a file agrees with its checksum. The file is read once."""
        with contextlib.suppress(OSError):
            if shard.path not in self._verified and checksum.is_whole(shard.path):
                self._verified.add(shard.path)
        return shard.path in self._verified

    def _written(self, folder: Path, view: str, shard: Shard) -> Shard | ShardFile:
        """Write a shard, and return it as a file. Raises DataError if the folder cannot be written."""
        try:
            path = write_shard(folder, view, shard)
        except DataError as error:
            raise _unwritable(error) from None
        self._verified.add(path)
        return open_shard(path, view, self.size) or shard

    def _read(self, view: str) -> list[Shard | ShardFile]:
        """Return all shards of a view. Their headers are read once, and damaged shards are removed."""
        if view not in self._shards:
            files = [] if self.folder is None else sorted(self.folder.glob(f"{view}-*.safetensors"))
            shards: list[Shard | ShardFile] = []
            damaged = []
            for path in files:
                with contextlib.suppress(OSError):  # another run may have removed it
                    shard = open_shard(path, view, self.size)
                    shards += [shard] if shard else []
                    damaged += [] if shard else [path]
            self._shards[view] = shards
            remove_damaged(damaged, len(files))
        return self._shards[view]


def _unwritable(error: Exception) -> DataError:
    """Return the error for a cache that cannot be written."""
    return DataError(f"{error} Features are cached: set SRRS_CACHE to a folder that can be written.")
