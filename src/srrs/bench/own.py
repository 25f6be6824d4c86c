"""The user's own dataset in the benchmark: `folder:PATH`, `table:FILE` or `features:FILE`.

The true labels come from a table of ids and labels (such as the `decisions.csv` of a review page), or from the array
`true_labels` of a file of features. Without both, the given labels are treated as true, and noise is added to them. If
only some true labels are known, the images with a known label are the test set. N samples, C classes.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from srrs.data.arrays import KINDS, first_of, read_arrays
from srrs.data.inputs import Inputs, read_inputs
from srrs.data.published.base import DataSet, Split
from srrs.data.samples import Progress, Samples
from srrs.data.tables import find_column, read_table, text_of
from srrs.errors import DataError
from srrs.records import Ints

KINDS_OF_OWN = ("folder", "table", "features")
"""First parts of the names of the user's own datasets."""
TEST_SHARE = 4
"""If all true labels are known, one in this number of images of each class is in the test set."""


@dataclass(frozen=True, eq=False)
class OwnData:
    """The user's own dataset, and its features if it has any."""

    dataset: DataSet
    """The dataset with its training and test split."""
    given: Inputs | None = None
    """The inputs with the features of all images; None if the dataset consists of images."""


def is_own(name: str) -> bool:
    """Return whether the name of a dataset refers to the user's own data."""
    return name.partition(":")[0] in KINDS_OF_OWN and ":" in name


def read_own(
    name: str,
    truth: Path | None = None,
    *,
    label: str | None = None,
    images: str | None = None,
    bare: bool = False,
    progress: Progress | None = None,
) -> OwnData:
    """Read the user's own dataset.

    Parameters
    ----------
    name : `folder:PATH` (one subfolder per class), `table:FILE` or `features:FILE`.
    truth : a table with the columns `id` and `label`, which contains true labels.
    label : column of the table with the given labels.
    images : folder to which the paths of a table are relative.
    bare : True for a benchmark without a model. The class vectors then come from the file of features.
    progress : called as files are read.

    Raises
    ------
    DataError
        The data or the true labels cannot be read or do not match.
    """
    kind, _, place = name.partition(":")
    path = Path(place)
    inputs = read_inputs(path, images=images, label_column=label, bare=bare, progress=progress)
    if (kind == "features") != (inputs.features is not None):
        found = "features" if inputs.features is not None else "images"
        raise DataError(f"Expected {kind} at {path}, but found {found}.")
    samples = inputs.samples
    known = _true_labels(samples, truth, path)
    dataset = _divided(path, samples, known)
    return OwnData(dataset, inputs if kind == "features" else None)


def _true_labels(samples: Samples, table: Path | None, path: Path) -> Ints | None:
    """Return the class numbers of the true labels (N,), -1 where unknown; None if no true labels are given.

    They come from `table` or, without a table, from the file of features at `path`. Raises DataError if they do not
    match the samples.
    """
    if table is not None:
        columns = read_table(table)
        ids = list(map(text_of, find_column(columns, None, ("id",), "id", str(table), named=False)))
        usual = ("label", "true_label", "class")
        words = list(map(text_of, find_column(columns, None, usual, "true label", str(table), named=False)))
        told = dict(zip(ids, words, strict=True))
        if not set(told) & set(samples.ids):
            raise DataError(
                f"Expected ids of {path} in {table}, such as '{samples.ids[0]}', but found '{next(iter(told), '')}'."
            )
        return _numbers(samples, [told.get(id, "") for id in samples.ids], str(table))
    if path.suffix.lower() not in KINDS or path.is_dir():
        return None
    array = first_of(read_arrays(path), ("true_labels", "truth"))
    if array is None:
        return None
    if len(array) != len(samples):
        raise DataError(f"Expected {len(samples)} true labels in {path}, but found {len(array)}.")
    if np.asarray(array).dtype.kind in "iu":
        numbers = np.asarray(array, np.int64)
        if numbers.min() < -1 or numbers.max() >= len(samples.class_names):
            raise DataError(f"Expected true labels from -1 to {len(samples.class_names) - 1} in {path}.")
        return numbers
    return _numbers(samples, [text_of(value) for value in array], str(path))


def _numbers(samples: Samples, words: list[str], where: str) -> Ints:
    """Return the class numbers (N,) of labels; -1 for ''. Raises DataError for an unknown label."""
    known = {word: at for at, word in enumerate(samples.class_names)} | {
        key: at for at, key in enumerate(samples.class_keys)
    }
    unknown = sorted({word for word in words if word and word not in known})
    if unknown:
        raise DataError(f"Expected true labels in {where} that are classes of the data, but found '{unknown[0]}'.")
    return np.array([known[word] if word else -1 for word in words])


def _divided(path: Path, samples: Samples, known: Ints | None) -> DataSet:
    """Return the dataset of the usable samples, divided into training and test split.

    `known` contains the true labels (N,), -1 where unknown; None if the given labels are treated as true.
    """
    rows, given = samples.usable, np.asarray(samples.labels, np.int64)
    truth = given if known is None else known
    if known is not None and (known[rows] < 0).any():
        test = rows[known[rows] >= 0]
        train = rows[known[rows] < 0]
        if not len(test):
            raise DataError(f"Expected at least one true label of a usable image of {path}, but found none.")
        learned = Split(_names(samples, train), _files(samples, train), given[train], given[train], truth_known=False)
    else:
        held = _held_out(samples, rows, truth)
        test, train = rows[held], rows[~held]
        learned = Split(
            _names(samples, train), _files(samples, train), truth[train], None if known is None else given[train]
        )
    tested = Split(_names(samples, test), _files(samples, test), truth[test])
    name = "".join(c if c.isalnum() or c in "-_." else "-" for c in path.stem or path.resolve().name)
    return DataSet(name, samples.class_names, learned, None, tested)


def _held_out(samples: Samples, rows: Ints, truth: Ints) -> np.ndarray:
    """Return whether each of the usable samples (their positions are `rows`) is in the test set.

    The choice depends only on the ids and the true labels. Raises DataError if every class has too few images.
    """
    order = sorted(range(len(rows)), key=lambda at: hashlib.blake2b(samples.ids[rows[at]].encode()).digest())
    held, seen = np.zeros(len(rows), bool), dict[int, int]()
    for at in order:
        label = int(truth[rows[at]])
        seen[label] = seen.get(label, -1) + 1
        held[at] = seen[label] % TEST_SHARE == TEST_SHARE - 1
    if not held.any():
        raise DataError(
            f"Expected at least {TEST_SHARE} images of a class to hold some out for a test, but found fewer."
        )
    return held


def _names(samples: Samples, rows: Ints) -> tuple[str, ...]:
    """Return the ids of the samples at some positions."""
    return tuple(samples.ids[row] for row in rows)


def _files(samples: Samples, rows: Ints) -> tuple[Path, ...]:
    """Return the files of the samples at some positions."""
    return tuple(Path(str(samples.paths[row])) for row in rows)
