"""Part i of n of a dataset (`--shard`), for several machines without a cluster: the rows and files of a part."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from srrs.data.arrays import read_arrays
from srrs.data.rows import Samples
from srrs.data.tables import Table, read_table
from srrs.errors import DataError, SettingsError
from srrs.io import is_file
from srrs.mapped import empty, release

WHOLE = "features.safetensors"
"""Name of the feature file of a whole dataset."""
_NAME = re.compile(r"features-(\d{5})-of-(\d{5})\.safetensors")
"""Names of the feature files of parts."""


@dataclass(frozen=True)
class Part:
    """One of `count` parts of a dataset."""

    number: int
    """Number of the part, starting at 1."""
    count: int
    """Number of parts."""
    total: int = 0
    """Number of rows of the whole dataset."""

    @classmethod
    def parse(cls, text: str) -> "Part":
        """Return the part that a text such as `3/16` describes: part 3 of 16. Raises SettingsError for other texts."""
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if not found or not 1 <= int(found[1]) <= int(found[2]) < 100_000:
            raise SettingsError(f"expected --shard as number/count, from 1/16 to 16/16, but found {text!r}")
        return cls(int(found[1]), int(found[2]))

    def of(self, samples: Samples) -> tuple["Part", Samples]:
        """Return this part with `total` set, and its samples. A part is a range of consecutive rows."""
        n = len(samples)
        rows = range(n * (self.number - 1) // self.count, n * self.number // self.count)
        return replace(self, total=n), samples.take(rows)

    @property
    def suffix(self) -> str:
        """Return the suffix of the part's file names, before the extension."""
        return f"-{self.number:05}-of-{self.count:05}"


def find_parts(folder: Path) -> list[Path]:
    """Return the feature files of all parts in a folder, in order. The list is empty if there are no parts.

    Raises
    ------
    DataError
        A part is missing, or the folder contains parts of different divisions, such as 1/2 and 1/16.
    """
    named = {path: match for path in sorted(folder.iterdir()) if (match := _NAME.fullmatch(path.name))}
    counts = Counter(int(match[2]) for match in named.values())
    if len(counts) > 1:
        raise DataError(
            f"Expected the parts of one split in {folder}, but found parts of "
            f"{' and of '.join(map(str, sorted(counts)))}. Remove those that are not wanted."
        )
    for count in counts:
        lacking = sorted({*range(1, count + 1)} - {int(match[1]) for match in named.values()})
        if lacking:
            raise DataError(
                f"Expected {count} parts in {folder}, but found {len(named)}. Run srrs embed with --shard "
                f"{lacking[0]}/{count}{' and others' if len(lacking) > 1 else ''}."
            )
    return list(named)


def feature_files(folder: Path) -> list[Path]:
    """Return the feature files in a folder of `srrs embed`: those of all parts, or the one of the whole dataset.

    Raises
    ------
    DataError
        There is none, or the errors of `find_parts`.
    """
    files = [folder / WHOLE] if is_file(folder / WHOLE) else find_parts(folder) if folder.is_dir() else []
    if not files:
        raise DataError(f"Expected a folder that srrs embed wrote at {folder}, but found no {WHOLE} in it.")
    return files


def part_contents(files: Sequence[Path]) -> Iterator[tuple[Table, dict[str, Any]]]:
    """Yield the table and the arrays of each feature file, one after the other.

    Raises
    ------
    DataError
        The parts differ in their model, their number of views, their columns or the size of their dataset; or a file
        lacks an array or rows.
    """
    first: dict[str, Any] | None = None
    columns: list[str] = []
    for file in files:
        part = read_arrays(file)
        if not {"plain", "views"} <= set(part):
            raise DataError(f"Expected the arrays plain and views in {file}, as srrs embed writes them.")
        first = first or part
        for name, what in (("model", "models"), ("part_of_rows", "datasets")):
            if str(part.get(name)) != str(first.get(name)):
                raise DataError(f"Expected parts of one run in {file.parent}, but they are of several {what}.")
        if part["views"].shape[1:] != first["views"].shape[1:]:
            raise DataError(f"Expected as many views in all parts in {file.parent}, but the numbers differ.")
        path = file.with_name(file.name.replace("features", "samples")).with_suffix(".csv")
        table = read_table(path)
        columns = columns or list(table)
        if list(table) != columns:
            raise DataError(f"Expected the columns {', '.join(columns)} in {path}, but found {', '.join(table)}.")
        wanted, found = len(part["plain"]), len(table[columns[0]])
        if found != wanted:
            raise DataError(f"Expected {wanted} rows in {path}, one for each feature, but found {found}.")
        yield table, part


def read_parts(files: Sequence[Path]) -> dict[str, Any]:
    """Return the concatenated arrays and tables of all parts by name. A large array is stored in a temporary file.

    The errors are those of `part_contents`.
    """
    tables, parts = zip(*part_contents(files), strict=True)
    columns = {name: [cell for table in tables for cell in table[name]] for name in tables[0]}
    return {**columns, **parts[0], **{name: _stacked([part[name] for part in parts]) for name in ("plain", "views")}}


def _stacked(arrays: list[np.ndarray]) -> np.ndarray:
    """Return the arrays, concatenated along their first dimension."""
    out = empty((sum(map(len, arrays)), *arrays[0].shape[1:]), arrays[0].dtype)
    start = 0
    for array in arrays:
        out[start : start + len(array)] = array
        release(array)
        start += len(array)
    return out
