"""Audits written by hand, row by row, without a model."""

import numpy as np

from srrs.audit.rows import AFTER, BEFORE, frame_of
from srrs.audit.table import NUMBERS, Audit, Bands
from srrs.records import NoiseEstimate

COLUMNS = (*BEFORE, "macro", "micro", *AFTER)
PLACED = ("d", "b", "a", "c")
"""Ids of the samples of the hand-made round, in its order."""


def hand_audit(rows, class_names, **more):
    """An audit of rows given as dictionaries; a column that a row leaves out is empty, its status noisy."""
    empty = {name: np.nan if name in NUMBERS else None for name in COLUMNS} | {"status": "noisy"}
    full = [empty | row for row in rows]
    table = frame_of({name: [row[name] for row in full] for name in COLUMNS})
    bands = Bands("p_clean", (0.3,), (0.7,))
    return Audit(table, tuple(class_names), NoiseEstimate(0.2, 0.1, 0.3), bands, {}, **more)


def audit_of(rows, last, settings=None, *, ids=None, features=None, **more):
    """The audit of a hand-made round over rows that hold its samples; `macro` sees what is suggested."""
    if ids is None:
        ids = PLACED if set(PLACED) <= set(rows.ids) else [rows.ids[at] for at in (4, 2, 0, 3)]
    at = np.array([rows.ids.index(id) for id in ids], dtype=np.int64)
    hard, labels = last.targets.hard, last.evidence.labels
    if features is None:
        features = np.eye(len(at), 4, dtype=np.float32) + 0.1
    predicted = {"zero_shot": hard, "macro": hard, "micro": labels}
    return Audit.of(rows, at, last, settings or {}, predicted=predicted, features=features, **more)
