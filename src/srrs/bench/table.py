"""Tables of runs: the mean, spread and number of seeds of every metric, per method and cell (noise kind and rate)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from srrs.bench.cells import GROUP, Cell, cells
from srrs.bench.records import Record
from srrs.core.metrics import resample, resample_macro_f1
from srrs.errors import DataError, SettingsError

Floats = NDArray[np.floating]

PLACE = ("table", "row", *GROUP, "method", "needs", "noise_kind", "noise_rate")
"""Columns that identify a cell of the tables."""
COLUMNS = (*PLACE, "metric", "mean", "spread", "n", "low", "high", "best", "tied")
"""Columns of the result of `table`."""
PAIRED = ("table", *GROUP, "noise_kind", "noise_rate", "metric", "other", "n", "ours", "theirs", "mean", "low", "high")
"""Columns of the result of `paired`."""
RESAMPLED = ("accuracy", "macro_f1")
"""Metrics whose intervals are computed by bootstrap over images and seeds."""


class Metric(NamedTuple):
    """A number that is measured in a run, such as the accuracy."""

    title: str
    """Name for readers, with the unit."""
    of: Callable[[Record], float | None]
    """Function from a record to the number; None if the record lacks it."""
    better: int = 0
    """1 if higher is better, -1 if lower is better, 0 if neither."""
    scale: float = 100
    """Factor by which the number is multiplied in rendered tables."""
    digits: int = 1
    """Number of decimals in rendered tables."""


METRICS: dict[str, Metric] = {
    "accuracy": Metric("accuracy, %", lambda r: r.accuracy, 1),
    "macro_f1": Metric("macro-F1, %", lambda r: r.macro_f1, 1),
    "ece": Metric("expected calibration error, %", lambda r: r.ece, -1),
    "auroc": Metric("AUROC of the audit", lambda r: r.audit.auroc, 1, 1, 3),
    "average_precision": Metric("average precision of the audit", lambda r: r.audit.average_precision, 1, 1, 3),
    "precision": Metric("flagged labels that are wrong, %", lambda r: r.audit.precision, 1),
    "recall": Metric("wrong labels that are flagged, %", lambda r: r.audit.recall, 1),
    "zero_shot_auroc": Metric("AUROC of zero-shot self-confidence", lambda r: r.zero_shot_auroc, 0, 1, 3),
    "noise_given": Metric("noise of the given labels, %", lambda r: r.noise_given),
    "noise_rectified": Metric("noise of the rectified labels, %", lambda r: r.noise_rectified, -1),
    "noise_estimate": Metric("estimated noise, %", lambda r: r.noise_estimate[0] if r.noise_estimate else None),
    "seconds": Metric("seconds", lambda r: r.seconds, 0, 1),
    "text_passes": Metric("text passes", lambda r: r.text_passes, 0, 1, 0),
}
"""The metrics by name, in the order of the tables."""


def table(
    records: Iterable[Record],
    *,
    by: Sequence[str] = ("method",),
    metrics: Sequence[str] = tuple(METRICS),
    methods: Sequence[str] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the long table: one row per table, metric, method and noise, with columns `COLUMNS`.

    `mean`, `spread` (the sample standard deviation; NaN for one run) and `n` refer to the seeds whose records contain
    the metric. `low` and `high` are the ends of the 95 % bootstrap interval over images and seeds, for the metrics
    `RESAMPLED`. For other metrics, and for the macro-F1 of records without predicted classes, they are NaN. `best`
    marks the best mean among the cells of a table with the same noise. `tied` marks methods that do not differ
    significantly from the best one in a metric of `RESAMPLED`, by the paired bootstrap.

    Parameters
    ----------
    records : the runs.
    by : the fields whose values separate rows, see `srrs.bench.cells.cells`.
    metrics : names in `METRICS`; by default all.
    methods : the methods to include, in this order; by default all, sorted by name.
    seed : seed of the bootstrap.

    Raises
    ------
    DataError
        There are no runs, or two runs of a cell have the same seed.
    SettingsError
        A metric is unknown, or `by` is not allowed.
    """
    if unknown := [name for name in metrics if name not in METRICS]:
        raise SettingsError(f"There is no metric {', '.join(unknown)}; there are {', '.join(METRICS)}.")
    rows = []
    for _, group in groupby(cells(records, by=by, methods=methods), key=lambda cell: cell.table):
        members = list(group)
        for name in metrics:
            bounds = [_bounds(_draws(cell, name, seed)) for cell in members]
            marks = _marks(members, name, seed)
            rows += [_row(*each, name) for each in zip(members, bounds, marks, strict=True)]
    return _frame(rows, COLUMNS)


def _frame(rows: Sequence[tuple[Any, ...]], columns: Sequence[str]) -> pd.DataFrame:
    """Return a data frame in which the shots may be missing (NA) and the noise rates may be NaN."""
    return pd.DataFrame(rows, columns=list(columns)).astype({"shots": "Int64", "noise_rate": "float64"})


def _row(cell: Cell, bounds: tuple[float, float], marks: tuple[bool, bool], name: str) -> tuple[Any, ...]:
    """Return the row of a cell and a metric, with columns `COLUMNS`."""
    values = _values(cell, name)
    mean = float(np.mean(values)) if values else np.nan
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else np.nan
    return (*_place(cell), name, mean, spread, len(values), *bounds, *marks)


def _place(cell: Cell) -> tuple[Any, ...]:
    """Return the values of the columns `PLACE` for a cell."""
    first = cell.runs[0]
    group = (getattr(first, name) for name in GROUP)
    return (cell.table, cell.row, *group, first.method, ", ".join(first.needs), cell.kind, cell.rate)


def _values(cell: Cell, name: str) -> list[float]:
    """Return the values of a metric in the runs of a cell that have one."""
    return [value for run in cell.runs if (value := METRICS[name].of(run)) is not None]


def _marks(members: Sequence[Cell], name: str, seed: int) -> list[tuple[bool, bool]]:
    """Return whether each cell of a table is the best of those with its noise, and whether it is tied with the best.

    If the means of all cells with the same noise are equal, no cell is marked.
    """
    better = METRICS[name].better
    means = [better * float(np.mean(values)) if (values := _values(cell, name)) else -np.inf for cell in members]
    marks = [(False, False)] * len(members)
    for noise in {cell.name for cell in members} if better else ():
        beside = [i for i, cell in enumerate(members) if cell.name == noise and means[i] > -np.inf]
        ranked = sorted(beside, key=means.__getitem__)
        if not ranked or _equal(means[ranked[0]], means[ranked[-1]]):
            continue
        top = ranked[-1]
        for i in beside:
            best = _equal(means[i], means[top])
            marks[i] = best, not best and _tied(members[i], members[top], name, seed)
    return marks


def _equal(a: float, b: float) -> bool:
    """Return whether two means are equal up to rounding."""
    return abs(a - b) < 1e-12


def _tied(one: Cell, best: Cell, name: str, seed: int) -> bool:
    """Return whether `best` is not significantly better in a metric; False without common seeds or an interval."""
    return _bounds(_difference_draws(best, one, name, seed)).low <= 0


class Bounds(NamedTuple):
    """The ends of an interval; NaN if there is none."""

    low: float = np.nan
    high: float = np.nan


def _bounds(draws: Floats | None, level: float = 0.95) -> Bounds:
    """Return the interval that contains the share `level` of bootstrap draws, between two quantiles."""
    if draws is None:
        return Bounds()
    low, high = np.quantile(draws, ((1 - level) / 2, (1 + level) / 2))
    return Bounds(float(low), float(high))


def _draws(cell: Cell, name: str, seed: int, seeds: set[int] | None = None) -> Floats | None:
    """Return bootstrap draws of the mean of a metric over images and all or some seeds; None without an interval."""
    generator = np.random.default_rng(seed)
    if name == "accuracy":
        return resample(cell.correct(seeds).astype(np.int8), generator)
    classes = cell.test_classes(seeds) if name == "macro_f1" else None
    return None if classes is None else resample_macro_f1(*classes, generator)


def _difference_draws(one: Cell, other: Cell, name: str, seed: int) -> Floats | None:
    """Return bootstrap draws of the mean difference `one - other` over images and common seeds; None if impossible."""
    shared = one.seeds & other.seeds
    if not shared:
        return None
    if name == "accuracy":
        gain = one.correct(shared).astype(np.int8) - other.correct(shared)
        return resample(gain, np.random.default_rng(seed))
    a, b = (_draws(cell, name, seed, shared) for cell in (one, other))  # of the same images, because the seed is equal
    return None if a is None or b is None else a - b


def paired(
    records: Iterable[Record], ours: str = "srrs", *, metrics: Sequence[str] = RESAMPLED, seed: int = 0
) -> pd.DataFrame:
    """Return the metrics of our row minus those of every other row in every cell, with columns `PAIRED`.

    `low` and `high` are the ends of the paired 95 % bootstrap interval over images and the `n` seeds that both rows
    have; NaN for the macro-F1 of records without predicted classes. Cells without common seeds are left out.

    Parameters
    ----------
    records : the runs.
    ours : title of our row.
    metrics : names in `RESAMPLED`.
    seed : seed of the bootstrap.

    Raises
    ------
    DataError
        No row has the title `ours`, or no other row shares noise and seeds with it; or an error of `table`.
    SettingsError
        A metric is not in `RESAMPLED`.
    """
    if unknown := [name for name in metrics if name not in RESAMPLED]:
        raise SettingsError(f"Expected metrics of {', '.join(RESAMPLED)}, but found {', '.join(unknown)}.")
    found = cells(records)
    if ours not in {cell.row for cell in found}:
        raise DataError(f"Expected runs of {ours}, but found only {', '.join(sorted({c.row for c in found}))}.")
    rows = [row for name in metrics for row in _differences(found, ours, name, seed)]
    if not rows:
        raise DataError(f"Expected another method with the noise and the seeds of {ours}, but found none.")
    return _frame(rows, PAIRED)


def _differences(found: Sequence[Cell], ours: str, name: str, seed: int) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of the result of `paired` for one metric."""
    base = {(cell.table, cell.name): cell for cell in found if cell.row == ours}
    for cell in found:
        mine = base.get((cell.table, cell.name))
        if cell.row == ours or mine is None or not (shared := cell.seeds & mine.seeds):
            continue
        a, b = (
            float(np.mean([METRICS[name].of(run) for run in side.runs if run.seed in shared])) for side in (mine, cell)
        )
        bounds = _bounds(_difference_draws(mine, cell, name, seed))
        group = (getattr(cell.runs[0], field) for field in GROUP)
        yield (cell.table, *group, cell.kind, cell.rate, name, cell.row, len(shared), a, b, a - b, *bounds)


def against_best(differences: pd.DataFrame) -> pd.DataFrame:
    """Return the best other row of each cell and metric of the result of `paired`."""
    cell = ["table", "metric", "noise_kind", "noise_rate"]
    best = differences.loc[differences.groupby(cell, dropna=False, sort=False)["theirs"].idxmax()]
    return best.reset_index(drop=True)
