"""Functions that check vectors, scale them to unit length, and join class vectors with the names of their classes.

n vectors, V views, C classes, D feature size.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from srrs.core.blocks import blocks, is_large
from srrs.data.arrays import first_of, read_arrays
from srrs.data.tables import text_of
from srrs.errors import DataError
from srrs.mapped import empty, release
from srrs.records import Bools, Floats

VECTORS = ("plain", "embeddings", "embedding", "features", "feature", "vectors", "vector")
"""Possible names of the array of vectors in a file."""
IDS, LABELS, CLASS_NAMES = ("ids", "id"), ("labels", "label"), ("class_names", "label_names", "classes")
"""Possible names of the arrays of ids, labels and class names in a file."""
UNIT = 2e-3
"""Largest difference of a vector's norm from 1 that is treated as rounding to float16."""


@dataclass(frozen=True, eq=False)
class ClassVectors:
    """Unit vectors of the classes, for a run without a text tower."""

    names: tuple[str, ...]
    """(C,) names of the classes."""
    plain: Floats
    """(C, D) vectors of the class names."""
    described: Floats | None = None
    """(C, D) vectors of the described classes."""
    logit_scale: float | None = None
    """Factor from cosine similarities to logits; None if it is unknown."""


def unit_vectors(vectors: Any, views: Any, name: str) -> tuple[Floats, Floats, list[str], list[str]]:
    """Return unit vectors (n, D) and (n, V, D), the issue of each row, and notes.

    A row that cannot be used is zero and has an issue. An array of very many rows that needs no change is returned
    unchanged, and may be memory-mapped. `name` is the name of the source in messages.

    Raises
    ------
    DataError
        The arrays have a wrong shape or type, or no row can be used.
    """
    plain = floats(vectors, 2, "embeddings (n, D)", name)
    crops = plain[:, None][:, :0] if views is None else floats(views, 3, "views (n, V, D)", name)
    if (len(crops), crops.shape[2]) != plain.shape:
        raise DataError(
            f"Expected views of the shape ({len(plain)}, V, {plain.shape[1]}) in {name}, found {crops.shape}."
        )
    length, lengths = _lengths(plain), _lengths(crops)
    finite = np.isfinite(length) & np.isfinite(lengths).all(1)
    usable = finite & (length > 0) & (lengths > 0).all(1)
    if not usable.any():
        raise DataError(
            f"Expected embeddings that are finite and not zero in {name}, but found none among {len(plain)}."
        )
    issues = [
        "" if good else "embedding is zero" if fine else "embedding is not finite"
        for good, fine in zip(usable.tolist(), finite.tolist(), strict=True)
    ]
    off = usable & ((np.abs(length - 1) > UNIT) | (np.abs(lengths - 1) > UNIT).any(1))
    notes = []
    if off.any():
        notes.append(f"{off.sum()} of {len(plain)} embeddings of {name} were not of unit length: brought to it.")
    if is_large(len(plain)) and not off.any() and usable.all() and plain.dtype != np.float64:
        return plain, crops, issues, notes
    return _scaled(plain, length, off, usable), _scaled(crops, lengths, off, usable), issues, notes


def _scaled(vectors: np.ndarray, lengths: np.ndarray, off: Bools, usable: Bools) -> Floats:
    """Return a scaled copy in float32, or in float16 where that is precise enough. Unusable rows are zero."""
    half = vectors.dtype == np.float16 and (is_large(len(vectors)) or not off.any())
    out = empty(vectors.shape, np.float16 if half else np.float32)
    for rows in blocks(len(vectors)):
        part = np.array(vectors[rows], np.float64 if vectors.dtype == np.float64 else np.float32)
        part[~usable[rows]] = 0
        chosen = off[rows]
        part[chosen] = part[chosen] / lengths[rows][chosen][..., None]
        out[rows] = part
        release(vectors)
    return out


def _lengths(vectors: np.ndarray) -> np.ndarray:
    """Return the Euclidean norms (...) in float64, in which the squares of float32 numbers cannot overflow."""
    out = np.empty(vectors.shape[:-1])
    for rows in blocks(len(vectors)):
        part = np.asarray(vectors[rows])
        if part.dtype == np.float64:
            peak = np.abs(part).max(-1, initial=0, keepdims=True)
            safe = np.where(np.isfinite(peak) & (peak > 0), peak, 1)
            with np.errstate(over="ignore", invalid="ignore"):  # in rows that are not finite
                out[rows] = np.linalg.norm(part / safe, axis=-1) * safe[..., 0]
        else:
            out[rows] = np.sqrt(np.einsum("...d,...d->...", part, part, dtype=np.float64, casting="unsafe"))
        release(vectors)
    return out


def floats(values: Any, axes: int, what: str, name: str) -> np.ndarray:
    """Return the values as an array of floats. Raises DataError if it does not have `axes` dimensions."""
    # A memory-mapped array is kept. Other kinds of arrays (masked, matrix) become plain arrays.
    array: np.ndarray = (
        values if isinstance(values, np.memmap) else np.asarray([] if isinstance(values, list) else values)
    )
    if array.dtype.kind in "bc":
        kind = "complex numbers" if array.dtype.kind == "c" else "truth values"
        raise DataError(f"Expected {what} of real numbers in {name}, but found {kind}.")
    if isinstance(values, list) or array.dtype.kind not in "fiu":
        raise DataError(f"Expected {what} of one length each in {name}, but found vectors of several lengths or texts.")
    if array.ndim != axes or 0 in (array.shape[0], array.shape[-1]):
        raise DataError(f"Expected {what} in {name}, but found an array of the shape {array.shape}.")
    return array if array.dtype in (np.float16, np.float32, np.float64) else array.astype(np.float64)


def class_arrays(class_vectors: Any) -> dict[str, Any]:
    """Return a mapping with the array `class_vectors` and, from a file, `class_names` and optional further arrays.

    `class_vectors` is an array (C, D), or a file with class vectors and class names.

    Raises DataError if the file has no class vectors or no names.
    """
    if not isinstance(class_vectors, str | Path):
        return {"class_vectors": np.asarray(class_vectors)}
    arrays = read_arrays(Path(class_vectors))
    vectors = first_of(arrays, ("class_vectors", *VECTORS))
    names = first_of(arrays, (*CLASS_NAMES, "class_name", "class", *LABELS, *IDS))
    if vectors is None or names is None:
        raise DataError(f"Expected class_vectors and class_names in {class_vectors}, but found {names_of(arrays)}.")
    kept: dict[str, Any] = {name: arrays[name] for name in ("described_vectors", "logit_scale") if name in arrays}
    return {"class_vectors": vectors, "class_names": names, **kept}


def class_vectors_of(arrays: dict[str, Any], names: Any, size: int, source: str) -> ClassVectors | None:
    """Return the class vectors among the arrays, as unit vectors; None if there are none.

    `names` are the class names, and `size` is the feature size D. Raises DataError if the arrays do not fit.
    """
    if "class_vectors" not in arrays:
        return None
    if names is None:
        raise DataError(f"Expected class_names for the class_vectors of {source}, in the same order, but found none.")
    words = tuple(text_of(name) for name in names)

    def unit(role: str) -> Floats:
        vectors = floats(arrays[role], 2, f"{role} (C, D)", source)
        if vectors.shape != (len(words), size):
            raise DataError(
                f"Expected {role} of the shape ({len(words)}, {size}) in {source}, one for each class name and as long "
                f"as an embedding, but found {vectors.shape}."
            )
        length = _lengths(vectors)
        if len(bad := np.flatnonzero(~(np.isfinite(length) & (length > 0)))):
            raise DataError(
                f"Expected {role} that are finite and not zero in {source}, but that of '{words[int(bad[0])]}' is not."
            )
        return np.asarray(vectors / length[:, None], np.float32)

    return ClassVectors(
        names=words,
        plain=unit("class_vectors"),
        described=unit("described_vectors") if "described_vectors" in arrays else None,
        logit_scale=_scale(arrays.get("logit_scale"), source),
    )


def _scale(value: Any, source: str) -> float | None:
    """Return a logit scale as a number; None for None. Raises DataError for anything but one number above 0."""
    if value is None:
        return None
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "fiu" or not 0 < float(array.reshape(())) < np.inf:
        raise DataError(f"Expected logit_scale to be one number above 0 in {source}, but found {value!r}.")
    return float(array.reshape(()))


def names_of(arrays: dict[str, Any]) -> str:
    """Return the names of the arrays as text, for messages."""
    return ", ".join(sorted(arrays)) or "nothing"
