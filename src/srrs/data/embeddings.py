"""Embeddings that the user gives, of any model: read from a file or array, checked, and joined to rows.

n embeddings, N rows, V views, C classes, D feature size.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from srrs.core.blocks import ROWS
from srrs.data.arrays import KINDS, first_of, read_arrays
from srrs.data.lance_tables import SUFFIX, read_lance
from srrs.data.parts import WHOLE, find_parts, read_parts
from srrs.data.pictures import file_of
from srrs.data.rows import MISSING, Samples
from srrs.data.tables import columns_of, read_table, text_of
from srrs.data.vectors import (
    CLASS_NAMES,
    IDS,
    LABELS,
    VECTORS,
    ClassVectors,
    class_arrays,
    class_vectors_of,
    names_of,
    unit_vectors,
)
from srrs.errors import DataError
from srrs.io import is_file, there
from srrs.mapped import release
from srrs.records import Features, Floats


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Embeddings of n images or objects. They have unit length. An embedding with an issue is zero."""

    features: Features
    """(n, D) and (n, V, D)."""
    issues: tuple[str, ...]
    """(n,) the reason why an embedding cannot be used; '' if it can."""
    ids: tuple[str, ...] | None = None
    """(n,) ids of the embeddings; None if they are identified by their position only."""
    paths: tuple[str, ...] | None = None
    """(n,) paths of the images."""
    keys: tuple[str, ...] | None = None
    """(n,) content digests of the images from which the embeddings were made."""
    labels: tuple[str, ...] | None = None
    """(n,) class keys; '' for no label."""
    classes: ClassVectors | None = None
    """Class vectors in the same file."""
    model: str = ""
    """Fingerprint of the model that made the embeddings; '' if it is unknown."""
    model_name: str = ""
    """Name of that model; '' if it is unknown."""
    notes: tuple[str, ...] = ()
    """Sentences for the user."""
    source: str = "the array"
    """Name of the source in messages."""

    def __len__(self) -> int:
        return len(self.issues)

    @property
    def size(self) -> int:
        """Return the feature size D."""
        return int(self.features.plain.shape[1])


def is_embeddings(source: Any) -> bool:
    """Return whether a source contains embeddings.

    Such sources are a two-dimensional array of floats, an npz, npy or safetensors file, a parquet file with a column of
    vectors, a Lance dataset, and a folder that `srrs embed` wrote.
    """
    if isinstance(source, Embeddings):
        return True
    if not isinstance(source, str | Path):
        return getattr(source, "ndim", 0) == 2 and "float" in str(getattr(source, "dtype", "")) and _no_frame(source)
    path = Path(source)
    if not there(path):
        return False
    if path.is_dir():
        return path.suffix.lower() == SUFFIX or is_file(path / WHOLE) or bool(find_parts(path))
    return path.suffix.lower() in KINDS[:3] or any(name in VECTORS for name in columns_of(path))


def _no_frame(source: Any) -> bool:
    """Return whether a source is not a DataFrame."""
    return not hasattr(source, "columns")


def read_embeddings(source: Any, class_vectors: Any = None, class_names: Sequence[str] | None = None) -> Embeddings:
    """Read embeddings from a file, from the folder that `srrs embed` wrote, or from an array (n, D).

    Parameters
    ----------
    source : an npz, npy, safetensors or parquet file, a Lance dataset, a folder, or an array (n, D). The array
        `embeddings` of a file (or `features`, `plain`, …) is (n, D). The entries `views` (n, V, D), `ids`, `paths`,
        `labels`, `class_names`, `class_vectors`, `described_vectors`, `logit_scale` and `model` are optional.
        Safetensors files contain texts in the metadata, as JSON lists.
    class_vectors : array (C, D), or a file of class vectors, if `source` does not contain them.
    class_names : the names of the classes.

    Raises
    ------
    DataError
        A file is missing or damaged, an array is missing or has a wrong shape, or ids repeat.
    MissingExtraError
        The package that reads a parquet file or a Lance dataset is not installed.
    """
    if isinstance(source, Embeddings):
        return source
    if isinstance(source, str | Path):
        arrays, name = _content(Path(source))
    else:
        arrays, name = {"embeddings": np.asarray(source)}, "the array"
    if class_vectors is not None:
        arrays |= class_arrays(class_vectors)
    if class_names is not None:
        arrays["class_names"] = list(class_names)
    vectors = first_of(arrays, VECTORS)
    if vectors is None:
        raise DataError(
            f"Expected embeddings under one of {', '.join(VECTORS)} in {name}, but found {names_of(arrays)}."
        )
    plain, views, issues, notes = unit_vectors(vectors, arrays.get("views"), name)
    count = len(issues)
    ids = _texts(first_of(arrays, IDS), count, "ids", name)
    if ids and (twice := [id for id, times in Counter(ids).items() if times > 1]):
        raise DataError(f"Expected one embedding for each id in {name}, but '{twice[0]}' has several.")
    words = first_of(arrays, CLASS_NAMES)
    classes = class_vectors_of(arrays, words, plain.shape[1], name)
    return Embeddings(
        features=Features(plain, views),
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
    """Join samples and embeddings. Return the samples with keys and issues, and their features (N, D) and (N, V, D).

    The embedding of a row is the one with the row's id or, if there is none, the one with the row's path. Embeddings
    without ids must be in the order of the rows. A row without an embedding gets an issue.

    Raises
    ------
    DataError
        No row has an embedding, or the number of embeddings without ids differs from the number of rows.
    """
    at = _places(samples, embeddings)
    lacking, plain = at < 0, embeddings.features.plain
    keys, issues = [], []
    for row, place in enumerate(at):
        issue = "no embedding" if place < 0 else embeddings.issues[place]
        own = samples.issues[row] if samples.issues[row] not in ("", MISSING) else ""
        issues.append(issue or own)
        keys.append("" if issue else embeddings.keys[place] if embeddings.keys else _digest(plain[place]))
        if row % ROWS == 0:
            release(plain)
    unused = len(embeddings) - len(np.unique(at[~lacking]))
    notes = (f"{unused} embeddings of {embeddings.source} belong to no row and were left out.",) if unused else ()
    found = replace(
        samples, keys=tuple(keys), issues=tuple(issues), notes=(*samples.notes, *embeddings.notes, *notes), others=(),
        keyed_by_id=embeddings.ids is not None and embeddings.keys is None,
    )  # fmt: skip
    in_order = len(at) == len(plain) and np.array_equal(at, np.arange(len(at)))
    return found, embeddings.features if in_order else embeddings.features.take(at)


def table_of(embeddings: Embeddings, labeled: bool) -> dict[str, list[Any]]:
    """Return the rows of a file of embeddings as a table with the columns `id`, `path` and `label`.

    Raises
    ------
    DataError
        `labeled` is True, and the file has no labels.
    """
    if labeled and embeddings.labels is None:
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
    """Return the position (N,) of the embedding of each row; -1 for none. Raises DataError as `joined` does."""
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
            f"'{samples.ids[0]}', but the first one there is '{embeddings.ids[0]}'. Name the column of ids with --id "
            "(id_column=)."
        )
    return np.array(at, dtype=np.int64)


def _content(path: Path) -> tuple[dict[str, Any], str]:
    """Return the entries of a file (with those of the table that `srrs embed` writes beside it), and its name."""
    if path.is_dir() and path.suffix.lower() == SUFFIX:
        return _labeled(read_lance(path)), str(path)
    if path.is_dir() and not is_file(path / WHOLE) and (parts := find_parts(path)):
        return _labeled(read_parts(parts)), str(path)
    file = path / WHOLE if path.is_dir() else path
    arrays = read_arrays(file)
    beside = file.with_name("samples.csv")
    if first_of(arrays, IDS) is None and file.name == WHOLE and beside.is_file():
        arrays = _labeled({**read_table(beside), **arrays})
    return arrays, str(file)


def _labeled(arrays: dict[str, Any]) -> dict[str, Any]:
    """Return the entries without the column of labels if it is empty."""
    return {name: array for name, array in arrays.items() if name != "label" or any(array)}


def _texts(values: Any, count: int, what: str, name: str) -> tuple[str, ...] | None:
    """Return values as texts (count,); None for None. Raises DataError if their number is not `count`."""
    if values is None:
        return None
    if np.ndim(values) != 1 and not isinstance(values, list):
        raise DataError(f"Expected {what} as a list of {count} texts in {name}, but found {np.shape(values)}.")
    if len(values) != count:
        raise DataError(f"Expected {what} for each of the {count} embeddings of {name}, but found {len(values)}.")
    return tuple(text_of(value) for value in values)


def _labels(values: Any, names: Any, count: int, source: str) -> tuple[str, ...] | None:
    """Return the class keys (count,) of labels; None for None.

    Texts are class keys. Whole numbers are positions in the class names if there are class names. Raises DataError for
    other labels.
    """
    if values is None:
        return None
    wanted = f"Expected labels as class names or whole numbers in {source}, but its labels"
    if isinstance(values, np.ndarray):
        values = _whole(values, wanted)
    numbers = values.tolist() if isinstance(values, np.ndarray) and values.dtype.kind in "iu" else None
    texts = _texts(values, count, "labels", source) or ()
    if names is None:
        return texts if numbers is None else tuple(str(number) if number >= 0 else "" for number in numbers)
    words = [text_of(name) for name in names]
    if numbers is None:
        return _checked_words(texts, words, wanted)
    if max(numbers) >= len(words):
        raise DataError(f"{wanted} are positions from 0 to {len(words) - 1} in the names, but found {max(numbers)}.")
    return tuple(words[number] if number >= 0 else "" for number in numbers)


def _whole(array: np.ndarray, wanted: str) -> np.ndarray:
    """Return an array of labels, with floats as whole numbers (-1 for NaN). Raises DataError for fractions."""
    if array.ndim != 1:
        raise DataError(f"{wanted} are {array.ndim}-dimensional.")
    if array.dtype.kind == "b":
        raise DataError(f"{wanted} are truth values: save whole numbers or class names.")
    if array.dtype.kind != "f":
        return array
    finite = np.isfinite(array)
    if len(broken := array[finite & (array != np.rint(array))]):
        raise DataError(f"{wanted} are fractions, such as {broken[0]}: save whole numbers or class names.")
    return np.where(finite, array, -1).astype(np.int64)


def _checked_words(texts: tuple[str, ...], names: Sequence[str], wanted: str) -> tuple[str, ...]:
    """Return the texts. Raises DataError if they are positions that were saved as text."""
    numbers = [text for text in texts if text.isdecimal()]
    if numbers and len(numbers) == sum(map(bool, texts)) and not set(numbers) & set(names):
        raise DataError(f"{wanted} are numbers saved as text, such as '{numbers[0]}': save them as whole numbers.")
    return texts


def _text(value: Any) -> str:
    """Return an entry with one value as text; '' for None."""
    return "" if value is None else text_of(np.asarray(value).reshape(-1)[0])


def _digest(vector: Floats) -> str:
    """Return the digest of an embedding (D,), in hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(vector, dtype=np.float32).tobytes()).hexdigest()
