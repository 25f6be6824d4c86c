"""Audits and rounds written by hand, row by row, without a model."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from srrs.audit.table import AFTER, BEFORE, NUMBERS, Audit, Bands
from srrs.records import Evidence, Floats, Group, Ints, Matched, NoiseEstimate, Partition, Round, Targets, Thresholds

COLUMNS = (*BEFORE, "macro", "micro", *AFTER)
"""The columns of an audit that tuned the prompts `macro` and `micro`."""
BANDS = Bands("p_clean", (0.3,), (0.7,))


def hand_audit(rows: Sequence[Mapping[str, object]], class_names: Sequence[str]) -> Audit:
    """An audit of rows given as dictionaries; a column that a row leaves out is empty, its status noisy."""
    empty = {name: np.nan if name in NUMBERS else None for name in COLUMNS} | {"status": "noisy"}
    full = [empty | dict(row) for row in rows]
    kinds = {name: np.float64 if name in NUMBERS else object for name in COLUMNS}
    table = pd.DataFrame({name: pd.Series([row[name] for row in full], dtype=kind) for name, kind in kinds.items()})
    return Audit(table, tuple(class_names), NoiseEstimate(0.2, 0.1, 0.3), BANDS, {})


def one_hot(classes: Sequence[int] | Ints, rest: float = 0.1) -> Floats:
    """(N, 3) rows that favour the classes given."""
    return np.eye(3)[np.asarray(classes)] * (1 - 1.5 * rest) + rest / 2


def make_round(
    labels: Sequence[int] | Ints,
    suggested: Sequence[int] | Ints,
    group: Sequence[Group] | Ints,
    quality: Floats,
    *,
    band: tuple[float, float] | None = (0.3, 0.7),
) -> Round:
    """A round over three classes that suggests these classes; every other sample has no match score."""
    n = len(labels)
    evidence = Evidence(np.arange(n, dtype=np.uint64), np.array(labels), 3)
    cut = None if band is None else Thresholds("p_clean", np.array(band[:1]), np.array(band[1:]), quality)
    partition = Partition(np.array(group), quality, NoiseEstimate(0.25, 0.22, 0.29), cut)
    match = np.where(np.arange(n) % 2 == 0, 0.5, np.nan)
    return Round(
        evidence, partition, Targets(one_hot(suggested), np.ones(n)), Matched(match > 0, match), np.asarray(quality)
    )
