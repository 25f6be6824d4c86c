"""Label noise from files: matrices of class confusion, and labels that people gave. N training rows, C classes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from srrs.data.classes import match_classes
from srrs.data.tables import LABEL_COLUMNS, PATH_COLUMNS, find_column, read_table
from srrs.errors import DataError
from srrs.records import Floats, Ints

LARGEST = 1e300
"""Largest entry of a matrix, so that the sum of a row stays finite."""


def read_matrix(path: Path, class_names: Sequence[str]) -> Floats:
    """Return the matrix `P(given | true)` (C, C) of a table.

    The first line of the table has the given classes, and the first column the true classes. Entries are counts or
    shares. Each row of the result is divided by its sum. Raises DataError if the table has another form.
    """
    table = read_table(path)
    first, *columns = table
    index = _class_index([*table[first], *columns], class_names, path)
    for texts, what in ((table[first], "line"), (columns, "column")):
        if sorted(index.get(text, -1) for text in texts) != list(range(len(class_names))):
            raise DataError(f"Expected one {what} for each of the {len(class_names)} classes in {path}.")
    matrix = np.zeros((len(class_names), len(class_names)))
    for column in columns:
        for row, text in zip(table[first], table[column], strict=True):
            matrix[index[row], index[column]] = _entry(text, f"row '{row}', column '{column}' of {path}")
    if not matrix.sum(1).all():
        raise DataError(
            f"Expected a sum above 0 in every row of {path}, but '{class_names[matrix.sum(1).argmin()]}' has 0."
        )
    return np.asarray(matrix / matrix.sum(1, keepdims=True))


def read_given(path: Path, paths: Sequence[str], class_names: Sequence[str]) -> Ints:
    """Return the labels (N,) of the `paths` (N,) from a table with the columns path and label; -1 for a missing label.

    Raises
    ------
    DataError
        The table cannot be read, names an image twice, or names an unknown class.
    """
    table = read_table(path)
    photos = find_column(table, None, PATH_COLUMNS, "path", str(path), named=False)
    texts = find_column(table, None, LABEL_COLUMNS, "label", str(path), named=False)
    index = _class_index(texts, class_names, path)
    found: dict[str, int] = {}
    for photo, text in zip(photos, texts, strict=True):
        if text and found.setdefault(photo, index[text]) != index[text]:
            raise DataError(f"Expected one label for each image in {path}, but '{photo}' has several.")
    return np.array([found.get(photo, -1) for photo in paths], np.int64)


def _class_index(texts: Sequence[str], class_names: Sequence[str], path: Path) -> dict[str, int]:
    """Return the class number of each text, which is a class name or, for all texts, a class number."""
    present = set(filter(None, texts))
    if all(text.isdecimal() for text in present) and not any(name.isdecimal() for name in class_names):
        class_names = [str(c) for c in range(len(class_names))]
    return match_classes(present, class_names, None, str(path))[1]


def _entry(text: str, where: str) -> float:
    """Return a count or a share. Raises DataError for any other text."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= LARGEST:
        raise DataError(f"Expected a count or a share in {where}, but found '{text}'.")
    return value
