"""Content keys: a 64-bit key for each sample.

Random draws depend on the keys, so the order of the rows does not matter. N rows.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from srrs.core.keyed import RANK_BITS
from srrs.data.rows import Samples

Keys = NDArray[np.uint64]


def content_keys(samples: Samples) -> Keys:
    """Return a key (N,) for each row, which depends on its content. All keys differ.

    The order of the rows and the names of files have no effect on keys. The upper bits are those of the sha256 digest
    of the image file (or of the embedding). For a row with several images, the sorted digests are combined. For a row
    without content, the id is hashed. The lower bits number the rows with equal content, sorted by given class and then
    by id.
    """
    digests = [_digest(samples, row) for row in range(len(samples))]
    heads = np.array([int(digest[:16], 16) for digest in digests], dtype=np.uint64)
    group = (heads >> np.uint64(RANK_BITS)) << np.uint64(RANK_BITS)
    keys = group.copy()
    for rows in _repeated(group):
        # The numbers start at 0 in each group. So the key of a sample without a copy depends on its content only.
        order = sorted(rows, key=lambda row: (digests[row], samples.given[row], samples.ids[row]))
        keys[order] += np.arange(len(order), dtype=np.uint64)
    return keys


def _digest(samples: Samples, row: int) -> str:
    """Return the hexadecimal digest of the content of a row, of at least 16 digits."""
    found = sorted(key for key, _ in samples.pictures(row) if key)
    if samples.keyed_by_id or not found:
        return _hashed("id", samples.ids[row])
    if len(found) == 1 and len(found[0]) == 64 and not set(found[0]) - set("0123456789abcdef"):
        return found[0]
    return _hashed("content", *found)


def _hashed(*texts: str) -> str:
    """Return a digest of texts, in hexadecimal."""
    content = "\0".join(texts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=32).hexdigest()


def _repeated(values: Keys) -> Sequence[list[int]]:
    """Return the rows of each value that occurs in several rows."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order], prepend=values[order][:1] + np.uint64(1)))
    groups = np.split(order, starts[1:]) if len(order) else []
    return [group.tolist() for group in groups if len(group) > 1]
