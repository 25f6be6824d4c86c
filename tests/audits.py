"""Audits written by hand, row by row, without a model."""

import numpy as np
import pandas as pd

from srrs.audit.table import COLUMNS, NUMBERS, Audit
from srrs.records import NoiseEstimate


def hand_audit(rows, class_names):
    """An audit of rows given as dictionaries; a column that a row leaves out is empty, its status noisy."""
    empty = {name: np.nan if name in NUMBERS else None for name in COLUMNS} | {"status": "noisy"}
    full = [empty | row for row in rows]
    kinds = {name: np.float64 if name in NUMBERS else object for name in COLUMNS}
    table = pd.DataFrame({name: pd.Series([row[name] for row in full], dtype=kind) for name, kind in kinds.items()})
    return Audit(table, tuple(class_names), NoiseEstimate(0.2, 0.1, 0.3), np.array([[0.3, 0.7]]), {})
