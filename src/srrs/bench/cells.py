"""Functions that sort runs into tables, rows and cells. The runs of a cell differ only in the seed.

Runs are in the same table if their dataset, classes, test images, model, protocol and shots are equal. Runs of one
method with different settings are in different rows. The order of the records does not matter.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from srrs.bench.records import Record, TestClasses
from srrs.bench.schema import Bools
from srrs.errors import DataError, SettingsError

GROUP = ("dataset", "classes", "model", "protocol", "as_published", "shots", "test_samples")
"""The fields of `Record` that are equal within a table."""
AXES = {*GROUP, "method", "noise", "noise_kind", "noise_rate", "seed", "device"}
"""Settings that do not separate rows, because they separate tables or columns, or do not change the result."""


KINDS = ("sym", "pair")
"""The usual kinds of noise, in the order of the tables. Other kinds come after them, sorted by name."""


class Cell(NamedTuple):
    """Runs that differ only in the seed, sorted by seed."""

    table: str
    """Title of the table, with all fields that are equal within it."""
    row: str
    """Title of the row: the method and, in brackets, the settings in which the rows of the method differ."""
    kind: str
    """Kind of noise, such as `sym` or `sym+tail:10`."""
    rate: float | None
    """Noise rate from 0 to 1; None if the labels of people or of the web contain the noise."""
    runs: tuple[Record, ...]
    """Records of the runs, sorted by seed."""

    @property
    def name(self) -> str:
        """Return the name of the noise, such as `sym:0.5`."""
        return cell_name(self.kind, self.rate)

    @property
    def seeds(self) -> set[int]:
        """Return the seeds of the cell's runs."""
        return {run.seed for run in self.runs}

    def correct(self, seeds: set[int] | None = None) -> Bools:
        """Return whether each run classifies each test image correctly: (runs, test images), for all or some seeds."""
        return np.stack([run.right for run in self.runs if seeds is None or run.seed in seeds])

    def test_classes(self, seeds: set[int] | None = None) -> TestClasses | None:
        """Return the classes that each run predicts (runs, test images), and the true classes (test images,).

        None if a run has no predicted classes, or if the true classes of two runs differ.
        """
        found = [run.test_classes for run in self.runs if seeds is None or run.seed in seeds]
        known = [each for each in found if each is not None]
        if len(known) < len(found) or any(not np.array_equal(each.truth, known[0].truth) for each in known):
            return None
        return TestClasses(np.stack([each.predicted for each in known]), known[0].truth)


def cell_name(kind: str, rate: float | None) -> str:
    """Return the name of a noise setting: `sym:0.5`, `sym:0.2+tail:10`, or only the kind if `rate` is None or NaN."""
    kind, plus, tail = kind.partition("+")
    return (kind if rate is None or np.isnan(rate) else f"{kind}:{rate:g}") + plus + tail


def noise_order(kind: str, rate: float | None) -> tuple[int, str, float]:
    """Return the key by which noise settings are sorted in tables: the usual kinds first, then by name and rate."""
    return KINDS.index(kind) if kind in KINDS else len(KINDS), kind, -1.0 if rate is None or np.isnan(rate) else rate


def cells(
    records: Iterable[Record], *, by: Sequence[str] = ("method",), methods: Sequence[str] | None = None
) -> list[Cell]:
    """Sort runs into cells, and return the cells in the order of table, row and noise.

    Parameters
    ----------
    records : the runs.
    by : the fields whose values separate rows: `method`, and any fields of `GROUP` that are to be compared within a
        table.
    methods : the methods to include, in this order; by default all, sorted by name.

    Raises
    ------
    DataError
        There are no runs, or two runs of a cell have the same seed.
    SettingsError
        `by` lacks `method`, or contains another name that is not in `GROUP`.
    """
    if "method" not in by or not set(by) <= {"method", *GROUP}:
        raise SettingsError(f"Expected rows by method and any of {', '.join(GROUP)}, but found {', '.join(by)}.")
    rank = {name: i for i, name in enumerate(methods or ())}
    chosen = [record for record in records if not rank or record.method in rank]
    if not chosen:
        raise DataError("Expected at least one finished run" + (f" of {', '.join(rank)}." if rank else "."))
    label = _labels(chosen, by)
    runs: dict[tuple[Any, ...], list[Record]] = {}
    for r in chosen:
        apart = tuple(_sortable(getattr(r, name)) for name in GROUP if name not in by)
        beside = tuple(_sortable(getattr(r, name)) for name in by if name != "method")
        place = (apart, rank.get(r.method, 0), r.method, beside, label(r), noise_order(r.noise_kind, r.noise_rate))
        runs.setdefault(place, []).append(r)
    return [_cell(runs[place], label, by) for place in sorted(runs)]


def _cell(runs: list[Record], label: Callable[[Record], str], by: Sequence[str]) -> Cell:
    """Return the cell of some runs. Raises DataError if two of them have the same seed."""
    runs = sorted(runs, key=lambda r: (r.seed, r.digest))
    first = runs[0]
    made = Cell(_title(first, by), label(first), first.noise_kind, first.noise_rate, tuple(runs))
    for one, other in pairwise(runs):
        if one.seed == other.seed:
            raise DataError(
                f"Expected one run of {made.row} at {made.name} with seed {one.seed} ({made.table}), but found two "
                f"with the same settings, {one.digest} and {other.digest}. Leave one of them out."
            )
    return made


def _sortable(value: Any) -> tuple[bool, Any]:
    """Return a sort key of a value that may be None. None comes last."""
    return value is None, value or 0


def _title(r: Record, by: Sequence[str]) -> str:
    """Return the title of a run's table: the fields of `GROUP`, without those that separate rows."""
    parts = {
        "dataset": r.dataset,
        "classes": f"{r.classes} classes",
        "shots": "all images" if r.shots is None else f"{r.shots} shots",
        "protocol": r.protocol,
        "as_published": "as published" if r.as_published else "",
        "model": f"model {r.model}",
        "test_samples": f"{r.test_samples} test images",
    }
    return ", ".join(part for name, part in parts.items() if part and name not in by)


def _labels(records: Sequence[Record], by: Sequence[str]) -> Callable[[Record], str]:
    """Return the function that names the row of a record: its method and, in brackets, the settings that differ."""
    values: dict[tuple[str, str], set[str]] = {}
    for record in records:
        for name, value in record.settings.items():
            values.setdefault((record.method, name), set()).add(repr(value))

    def label(record: Record) -> str:
        extra = [f"{name}={getattr(record, name)}" for name in by if name != "method"]
        extra += [
            f"{name}={value}"
            for name, value in sorted(record.settings.items())
            if name not in AXES and len(values[record.method, name]) > 1
        ]
        return record.method + (f" [{', '.join(extra)}]" if extra else "")

    return label
