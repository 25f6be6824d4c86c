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
COLUMNS = (*PLACE, "metric", "mean", "spread", "n", "low", "high", "best", "tied")
PAIRED = ("table", *GROUP, "noise_kind", "noise_rate", "other", "n", "ours", "theirs", "mean", "low", "high")


class Metric(NamedTuple):
    """A number that is measured in a run, such as the accuracy."""

    title: str
    of: Callable[[Record], float | None]
    better: int = 0
    """1 if higher is better, -1 if lower is better, 0 if neither."""
    scale: float = 100
    digits: int = 1


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
    macro-F1 by Student's t over seeds. For other metrics they are NaN. `best` marks the best mean of a cell. `tied`
    marks methods whose accuracy does not differ significantly from the best one, by the paired bootstrap.

    `by` and `methods` are those of `cells`, and its errors are raised. `seed` is that of the bootstrap. Raises
    SettingsError for an unknown metric.
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
    return pd.DataFrame(rows, columns=list(columns)).astype({"shots": "Int64", "noise_rate": "float64"})


def _row(cell: Cell, bounds: tuple[float, float], marks: tuple[bool, bool], name: str) -> tuple[Any, ...]:
    values = _values(cell, name)
    mean = float(np.mean(values)) if values else np.nan
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else np.nan
    low, high = bounds if name == "accuracy" else _over_seeds(values) if name == "macro_f1" else (np.nan, np.nan)
    return (*_place(cell), name, mean, spread, len(values), low, high, *marks)


def _over_seeds(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Return Student's interval of the mean; NaN for one value."""
    from scipy.stats import t

    if len(values) < 2:
        return np.nan, np.nan
    half = t.ppf((1 + level) / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return max(0.0, float(np.mean(values) - half)), min(1.0, float(np.mean(values) + half))


def _place(cell: Cell) -> tuple[Any, ...]:
    first = cell.runs[0]
    group = (getattr(first, name) for name in GROUP)
    return (cell.table, cell.row, *group, first.method, ", ".join(first.needs), cell.kind, cell.rate)


def _values(cell: Cell, name: str) -> list[float]:
    return [value for run in cell.runs if (value := METRICS[name].of(run)) is not None]


def _marks(members: Sequence[Cell], name: str, seed: int) -> list[tuple[bool, bool]]:
    """Return whether each cell of a table is the best of those with its noise, and whether it is tied with the best."""
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
    return abs(a - b) < 1e-12


def _tied(one: Cell, best: Cell, seed: int) -> bool:
    shared = one.seeds & best.seeds
    if not shared:
        return False
    return _bounds(best.correct(shared).astype(np.int8) - one.correct(shared), seed)[0] <= 0


def _bounds(values: NDArray[Any], seed: int, level: float = 0.95) -> tuple[float, float]:
    means = resample(values, np.random.default_rng(seed))
    low, high = np.quantile(means, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def paired(records: Iterable[Record], ours: str = "srrs", *, seed: int = 0) -> pd.DataFrame:
    """Return the accuracy of `ours` (a row) minus that of every other row in every cell, with columns `PAIRED`.

    `low` and `high` are the ends of the paired 95 % bootstrap interval over images and the `n` seeds of both rows.
    Cells without common seeds are left out. Raises DataError if no row is called `ours`.
    """
    found = cells(records)
    if ours not in {cell.row for cell in found}:
        raise DataError(f"Expected runs of {ours}, but found only {', '.join(sorted({c.row for c in found}))}.")
    return _frame(list(_differences(found, ours, seed)), PAIRED)


def _differences(found: Sequence[Cell], ours: str, seed: int) -> Iterator[tuple[Any, ...]]:
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
    """Return the best other row of each cell of the result of `paired`, and whether our row is as good.

    `holds` is true if our row is not significantly lower than the best other row (`high` is at least 0) and not more
    than `points` lower.
    """
    cell = ["table", "noise_kind", "noise_rate"]
    best = differences.loc[differences.groupby(cell, dropna=False, sort=False)["theirs"].idxmax()]
    return best.assign(holds=(best["high"] >= 0) & (best["mean"] >= -points)).reset_index(drop=True)
