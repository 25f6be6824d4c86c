"""Embeddings that were made elsewhere, of any model: read from a file or array, checked, and joined to rows.

n embeddings, N rows, V views, C classes, D feature size.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from srrs.data.arrays import KINDS, first_of, read_arrays
from srrs.data.pictures import file_of
from srrs.data.rows import MISSING, Samples
from srrs.data.store import Features
from srrs.data.tables import columns_of, read_table, text_of
from srrs.errors import DataError
from srrs.records import Floats

VECTORS = ("plain", "embeddings", "embedding", "features", "feature", "vectors", "vector")
IDS, LABELS, CLASS_NAMES = ("ids", "id"), ("labels", "label"), ("class_names", "label_names", "classes")
UNIT = 2e-3
"""How far a vector's length may be off 1 by the rounding of float16."""


@dataclass(frozen=True, eq=False)
class ClassVectors:
    """What stands for the classes where there is no text tower: unit vectors, one a class."""

    names: tuple[str, ...]
    """(C,)"""
    plain: Floats
    """(C, D) of the class names."""
    described: Floats | None = None
    """(C, D) of described classes."""
    logit_scale: float | None = None
    """What similarities are multiplied by; None where it is not known."""


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Embeddings of n photographs or objects, unit length; those with an issue are zero."""

    features: Features
    """(n, D) and (n, V, D)"""
    issues: tuple[str, ...]
    """(n,) why one cannot be used; '' where it can."""
    ids: tuple[str, ...] | None = None
    """(n,) None where they are known by their place alone."""
    paths: tuple[str, ...] | None = None
    keys: tuple[str, ...] | None = None
    """(n,) content digests of the pictures they were made of."""
    labels: tuple[str, ...] | None = None
    """(n,) class keys, '' for none."""
    classes: ClassVectors | None = None
    model: str = ""
    """Fingerprint of the model that made them, as far as it is known."""
    model_name: str = ""
    notes: tuple[str, ...] = ()
    source: str = "the array"

    def __len__(self) -> int:
        return len(self.issues)

    @property
    def size(self) -> int:
        """D."""
        return int(self.features.plain.shape[1])


def is_embeddings(source: Any) -> bool:
    """Whether a source is embeddings: a 2-d array of floats, an npz or safetensors file, a parquet file with a column
    of vectors, or a folder that `srrs embed` wrote."""
    if isinstance(source, Embeddings):
        return True
    if not isinstance(source, str | Path):
        return getattr(source, "ndim", 0) == 2 and "float" in str(getattr(source, "dtype", "")) and _no_frame(source)
    path = Path(source)
    if path.is_dir():
        return (path / "features.safetensors").is_file()
    return path.suffix.lower() in KINDS[:2] or any(name in VECTORS for name in columns_of(path))


def _no_frame(source: Any) -> bool:
    return not hasattr(source, "columns")


def read_embeddings(source: Any, class_vectors: Any = None, class_names: Sequence[str] | None = None) -> Embeddings:
    """Embeddings from a file, from the folder that `srrs embed` wrote, or from an (n, D) array.

    Parameters
    ----------
    source: an npz, safetensors or parquet file. Its array `embeddings` (or `features`, `plain`, …) is (n, D); `views`
        (n, V, D), `ids`, `paths`, `labels`, `class_names`, `class_vectors`, `described_vectors`, `logit_scale` and
        `model` may be there. Of safetensors the texts stand in the metadata, as JSON lists.
    class_vectors: (C, D) array, or a file of such, where the first does not hold them.
    class_names: their names.

    Raises
    ------
    DataError
        Something is missing, damaged, of a wrong shape, or ids repeat.
    MissingExtraError
        A parquet file, and pyarrow is not installed.
    """
    if isinstance(source, Embeddings):
        return source
    if isinstance(source, str | Path):
        arrays, name = _content(Path(source))
    else:
        arrays, name = {"embeddings": np.asarray(source)}, "the array"
    if class_vectors is not None:
        arrays |= _class_arrays(class_vectors)
    if class_names is not None:
        arrays["class_names"] = list(class_names)
    vectors = first_of(arrays, VECTORS)
    if vectors is None:
        raise DataError(f"Expected embeddings under one of {', '.join(VECTORS)} in {name}, but found {_names(arrays)}.")
    features, issues, notes = _checked(vectors, arrays.get("views"), name)
    count = len(issues)
    ids = _texts(first_of(arrays, IDS), count, "ids", name)
    if ids and (twice := [id for id, times in Counter(ids).items() if times > 1]):
        raise DataError(f"Expected one embedding for each id in {name}, but '{twice[0]}' has several.")
    words = first_of(arrays, CLASS_NAMES)
    classes = _class_vectors(arrays, words, features.plain.shape[1], name)
    return Embeddings(
        features=features,
        issues=tuple(issues),
        ids=ids,
        paths=_texts(first_of(arrays, ("paths", "path")), count, "paths", name),
        keys=_texts(first_of(arrays, ("keys", "key")), count, "keys", name),
        labels=_labels(first_of(arrays, LABELS), words, count, name),
        classes=classes,
        model=_text(arrays.get("model")),
        model_name=_text(arrays.get("model_name")),
        notes=tuple(notes),
        source=name,
    )


def joined(samples: Samples, embeddings: Embeddings) -> tuple[Samples, Features]:
    """Samples with the keys and issues of their embeddings, and features (N, D) and (N, V, D) in their order.

    Rows are found by id, else by path; embeddings without ids go row by row. A row without an embedding has an issue.

    Raises
    ------
    DataError
        No row has an embedding, or embeddings without ids differ from the rows in number.
    """
    at = _places(samples, embeddings)
    lacking = at < 0
    plain, views = embeddings.features.plain[at], embeddings.features.views[at]
    plain[lacking], views[lacking] = 0, 0
    keys, issues = [], []
    for row, place in enumerate(at):
        issue = "no embedding" if place < 0 else embeddings.issues[place]
        own = samples.issues[row] if samples.issues[row] not in ("", MISSING) else ""
        issues.append(issue or own)
        keys.append("" if issue else embeddings.keys[place] if embeddings.keys else _digest(plain[row]))
    unused = len(embeddings) - len(set(at[~lacking].tolist()))
    notes = (f"{unused} embeddings of {embeddings.source} belong to no row and were left out.",) if unused else ()
    found = replace(
        samples, keys=tuple(keys), issues=tuple(issues), notes=(*samples.notes, *embeddings.notes, *notes), others=(),
        keyed_by_id=embeddings.ids is not None and embeddings.keys is None,
    )  # fmt: skip
    return found, Features(plain, views)


def table_of(embeddings: Embeddings, labelled: bool) -> dict[str, list[Any]]:
    """The rows that embeddings bring along, as columns `id`, `path` and `label`.

    Raises
    ------
    DataError
        Labels are asked for, and there are none.
    """
    if labelled and embeddings.labels is None:
        raise DataError(
            f"Expected labels beside the embeddings of {embeddings.source} ({', '.join(LABELS)}), but found none. Give "
            "a table of ids and labels, with the embeddings as --features."
        )
    table: dict[str, list[Any]] = {"id": list(embeddings.ids or map(str, range(len(embeddings))))}
    for name, column in (("path", embeddings.paths), ("label", embeddings.labels)):
        if column is not None:
            table[name] = [text or None for text in column]
    return table


def _places(samples: Samples, embeddings: Embeddings) -> np.ndarray:
    if embeddings.ids is None:
        if len(samples) != len(embeddings):
            raise DataError(
                f"Expected one embedding a row, as {embeddings.source} names no ids, but found {len(embeddings)} "
                f"embeddings and {len(samples)} rows."
            )
        return np.arange(len(samples))
    by_id = {id: at for at, id in enumerate(embeddings.ids)}
    by_path = {path: at for at, path in enumerate(embeddings.paths or ()) if path}
    at = [by_id.get(id, by_path.get(file_of(p) or "", -1)) for id, p in zip(samples.ids, samples.paths, strict=True)]
    if max(at, default=-1) < 0:
        raise DataError(
            f"None of the {len(samples)} rows has an embedding in {embeddings.source}: looked for the id "
            f"'{samples.ids[0]}', but the first one there is '{embeddings.ids[0]}'. Name the column of ids with --id."
        )
    return np.array(at, dtype=np.int64)


def _content(path: Path) -> tuple[dict[str, Any], str]:
    """Arrays of a file, with the table that `srrs embed` writes beside it."""
    file = path / "features.safetensors" if path.is_dir() else path
    arrays = read_arrays(file)
    beside = file.with_name("samples.csv")
    if first_of(arrays, IDS) is None and file.name == "features.safetensors" and beside.is_file():
        arrays = {**read_table(beside), **arrays}
        if not any(arrays.get("label", ())):
            arrays.pop("label", None)
    return arrays, str(file)


def _checked(vectors: Any, views: Any, name: str) -> tuple[Features, list[str], list[str]]:
    """Features of unit length, what is wrong with each row, and what was done, in words."""
    plain = _floats(vectors, 2, "embeddings (n, D)", name)
    crops = plain[:, None][:, :0] if views is None else _floats(views, 3, "views (n, V, D)", name)
    if (len(crops), crops.shape[2]) != plain.shape:
        raise DataError(
            f"Expected views of the shape ({len(plain)}, V, {plain.shape[1]}) in {name}, found {crops.shape}."
        )
    finite = np.isfinite(plain).all(1) & np.isfinite(crops).all((1, 2))
    length = np.linalg.norm(plain.astype(np.float32), axis=1)
    lengths = np.linalg.norm(crops.astype(np.float32), axis=2)
    there = (length > 0) & (lengths > 0).all(1)
    issues = [
        "" if fine and long else "embedding is zero" if fine else "embedding is not finite"
        for fine, long in zip(finite, there, strict=True)
    ]
    if not (good := finite & there).any():
        raise DataError(
            f"Expected embeddings that are finite and not zero in {name}, but found none among {len(plain)}."
        )
    notes = []
    off = good & ((np.abs(length - 1) > UNIT) | (np.abs(lengths - 1) > UNIT).any(1))
    plain, crops = plain.copy(), crops.copy()
    if off.any():
        plain, crops = plain.astype(np.float32), crops.astype(np.float32)
        plain[off] /= length[off, None]
        crops[off] /= lengths[off, :, None]
        notes.append(f"{off.sum()} of {len(plain)} embeddings of {name} were not of unit length: brought to it.")
    plain[~good], crops[~good] = 0, 0
    return Features(plain, crops), issues, notes


def _floats(values: Any, axes: int, what: str, name: str) -> np.ndarray:
    """An array of floats with this many axes; float64 becomes float32."""
    array = np.asarray(values) if not isinstance(values, list) else None
    if array is None or array.dtype.kind not in "fiu":
        raise DataError(f"Expected {what} of one length each in {name}, but found vectors of several lengths or texts.")
    if array.ndim != axes or 0 in (array.shape[0], array.shape[-1]):
        raise DataError(f"Expected {what} in {name}, but found an array of the shape {array.shape}.")
    return array if array.dtype in (np.float16, np.float32) else array.astype(np.float32)


def _class_arrays(class_vectors: Any) -> dict[str, Any]:
    if not isinstance(class_vectors, str | Path):
        return {"class_vectors": np.asarray(class_vectors)}
    arrays = read_arrays(Path(class_vectors))
    vectors = first_of(arrays, ("class_vectors", *VECTORS))
    names = first_of(arrays, (*CLASS_NAMES, "class_name", "class", *LABELS, *IDS))
    if vectors is None or names is None:
        raise DataError(f"Expected class_vectors and class_names in {class_vectors}, but found {_names(arrays)}.")
    kept: dict[str, Any] = {name: arrays[name] for name in ("described_vectors", "logit_scale") if name in arrays}
    return {"class_vectors": vectors, "class_names": names, **kept}


def _class_vectors(arrays: dict[str, Any], names: Any, size: int, source: str) -> ClassVectors | None:
    if "class_vectors" not in arrays:
        return None
    if names is None:
        raise DataError(f"Expected class_names for the class_vectors of {source}, in the same order, but found none.")
    words = tuple(text_of(name) for name in names)

    def unit(role: str) -> Floats:
        vectors = _floats(arrays[role], 2, f"{role} (C, D)", source).astype(np.float32)
        if vectors.shape != (len(words), size):
            raise DataError(
                f"Expected {role} of the shape ({len(words)}, {size}) in {source}, one for each class name and as long "
                f"as an embedding, but found {vectors.shape}."
            )
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(length) & (length > 0)).all():
            bad = words[int(np.flatnonzero(~(np.isfinite(length) & (length > 0)))[0])]
            raise DataError(f"Expected {role} that are finite and not zero in {source}, but that of '{bad}' is not.")
        return np.asarray(vectors / length)

    scale = arrays.get("logit_scale")
    return ClassVectors(
        names=words,
        plain=unit("class_vectors"),
        described=unit("described_vectors") if "described_vectors" in arrays else None,
        logit_scale=_scale(scale, source),
    )


def _scale(value: Any, source: str) -> float | None:
    if value is None:
        return None
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "fiu" or not 0 < float(array.reshape(())) < np.inf:
        raise DataError(f"Expected logit_scale to be one number above 0 in {source}, but found {value!r}.")
    return float(array.reshape(()))


def _texts(values: Any, count: int, what: str, name: str) -> tuple[str, ...] | None:
    if values is None:
        return None
    if np.ndim(values) != 1 and not isinstance(values, list):
        raise DataError(f"Expected {what} as a list of {count} texts in {name}, but found {np.shape(values)}.")
    if len(values) != count:
        raise DataError(f"Expected {what} for each of the {count} embeddings of {name}, but found {len(values)}.")
    return tuple(text_of(value) for value in values)


def _labels(values: Any, names: Any, count: int, source: str) -> tuple[str, ...] | None:
    """Class keys: texts as they are, whole numbers as places in the class names where there are any."""
    texts = _texts(values, count, "labels", source)
    if texts is None or names is None or np.asarray(values).dtype.kind not in "iu":
        return texts
    numbers = [int(text) for text in texts]
    if max(numbers) >= len(names):
        raise DataError(
            f"Expected labels below {len(names)}, the number of class names in {source}, found {max(numbers)}."
        )
    return tuple(text_of(names[number]) if number >= 0 else "" for number in numbers)


def _text(value: Any) -> str:
    return "" if value is None else text_of(np.asarray(value).reshape(-1)[0])


def _names(arrays: dict[str, Any]) -> str:
    return ", ".join(sorted(arrays)) or "nothing"


def _digest(vector: Floats) -> str:
    return hashlib.sha256(np.ascontiguousarray(vector, dtype=np.float32).tobytes()).hexdigest()
