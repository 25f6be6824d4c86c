"""Tables of runs: the mean, spread and number of seeds of every metric, per method and cell (noise kind and rate)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from srrs.bench.cells import GROUP, Cell, cells
from srrs.bench.records import Record
from srrs.core.metrics import paired_bootstrap, resample
from srrs.errors import DataError, SettingsError

Floats = NDArray[np.floating]

PLACE = ("table", "row", *GROUP, "method", "needs", "noise_kind", "noise_rate")
"""Columns that identify a cell of the tables."""
COLUMNS = (*PLACE, "metric", "mean", "spread", "n", "low", "high", "best", "tied")
"""Columns of the result of `table`."""
PAIRED = ("table", *GROUP, "noise_kind", "noise_rate", "other", "n", "ours", "theirs", "mean", "low", "high")
"""Columns of the result of `paired`."""


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
    the metric. `low` and `high` are the ends of a 95 % interval: for accuracy by bootstrap over images and seeds, for
    macro-F1 by Student's t over seeds. For other metrics, they are NaN. `best` marks the best mean among the cells of a
    table with the same noise. `tied` marks methods whose accuracy does not differ significantly from the best one, by
    the paired bootstrap.

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
        bounds = [_bounds(cell.correct(), seed) for cell in members]
        for name in metrics:
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
    low, high = bounds if name == "accuracy" else _over_seeds(values) if name == "macro_f1" else (np.nan, np.nan)
    return (*_place(cell), name, mean, spread, len(values), low, high, *marks)


def _over_seeds(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Return Student's confidence interval of the mean, limited to 0 and 1; NaN for fewer than two values."""
    from scipy.stats import t

    if len(values) < 2:
        return np.nan, np.nan
    half = t.ppf((1 + level) / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return max(0.0, float(np.mean(values) - half)), min(1.0, float(np.mean(values) + half))


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
            marks[i] = best, name == "accuracy" and not best and _tied(members[i], members[top], seed)
    return marks


def _equal(a: float, b: float) -> bool:
    """Return whether two means are equal up to rounding."""
    return abs(a - b) < 1e-12


def _tied(one: Cell, best: Cell, seed: int) -> bool:
    """Return whether the accuracy of `best` is not significantly higher; False without common seeds."""
    shared = one.seeds & best.seeds
    if not shared:
        return False
    return _bounds(best.correct(shared).astype(np.int8) - one.correct(shared), seed)[0] <= 0


def _bounds(values: NDArray[Any], seed: int, level: float = 0.95) -> tuple[float, float]:
    """Return the bootstrap interval of the mean of `values` (runs, images), over runs and images."""
    means = resample(values, np.random.default_rng(seed))
    low, high = np.quantile(means, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def paired(records: Iterable[Record], ours: str = "srrs", *, seed: int = 0) -> pd.DataFrame:
    """Return the accuracy of our row minus that of every other row in every cell, with columns `PAIRED`.

    `low` and `high` are the ends of the paired 95 % bootstrap interval over images and the `n` seeds that both rows
    have. Cells without common seeds are left out.

    Parameters
    ----------
    records : the runs.
    ours : title of our row.
    seed : seed of the bootstrap.

    Raises
    ------
    DataError
        No row has the title `ours`; or an error of `table`.
    """
    found = cells(records)
    if ours not in {cell.row for cell in found}:
        raise DataError(f"Expected runs of {ours}, but found only {', '.join(sorted({c.row for c in found}))}.")
    return _frame(list(_differences(found, ours, seed)), PAIRED)


def _differences(found: Sequence[Cell], ours: str, seed: int) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of the result of `paired`."""
    base = {(cell.table, cell.name): cell for cell in found if cell.row == ours}
    for cell in found:
        mine = base.get((cell.table, cell.name))
        if cell.row == ours or mine is None or not (shared := cell.seeds & mine.seeds):
            continue
        a, b = mine.correct(shared), cell.correct(shared)
        difference = paired_bootstrap(a, b, seed)
        group = (getattr(cell.runs[0], name) for name in GROUP)
        yield (cell.table, *group, cell.kind, cell.rate, cell.row, len(shared), a.mean(), b.mean(), *difference)


def against_best(differences: pd.DataFrame, points: float = 0.01) -> pd.DataFrame:
    """Return the best other row of each cell of the result of `paired`, with a column `holds`.

    `holds` is true if our row is not significantly lower than the best other row (`high` is at least 0) and at most
    `points` (a difference of accuracies from 0 to 1) lower.
    """
    cell = ["table", "noise_kind", "noise_rate"]
    best = differences.loc[differences.groupby(cell, dropna=False, sort=False)["theirs"].idxmax()]
    return best.assign(holds=(best["high"] >= 0) & (best["mean"] >= -points)).reset_index(drop=True)
