"""The images that a person should review first, if there is not enough time for all of them."""

import os
from heapq import nsmallest
from pathlib import Path

import numpy as np

from srrs.audit.flags import is_trusted
from srrs.audit.table import Audit
from srrs.data.tables import csv_bytes
from srrs.io import write_atomic
from srrs.records import Ints

COLUMNS = ("id", "path", "given", "status", "p_clean", "suggested", "suggested_confidence", "flags")
"""Columns of review.csv, besides the rank."""


def review_order(audit: Audit, budget: int) -> Ints:
    """Return at most `budget` rows of the table that a person should review first: those with the lowest quality.

    Unusable images and images with a decision are left out. The order does not depend on the order of the rows.
    """
    quality, ids = audit.table.quality.to_numpy(), audit.table.id.tolist()
    undecided = audit.table.quality.notna() & ~audit.table["flags"].map(is_trusted).astype(bool)
    rows = np.flatnonzero(undecided.to_numpy())
    first = nsmallest(budget, rows.tolist(), key=lambda row: (quality[row], ids[row]))
    return np.array(first, dtype=np.int64)


def write_review(audit: Audit, order: Ints, path: str | os.PathLike[str]) -> Path:
    """Write review.csv: the rows `order` of the table with their rank, from 1. Return its path."""
    table = audit.table.iloc[order][list(COLUMNS)]
    table.insert(0, "review", np.arange(1, len(order) + 1))
    return write_atomic(path, csv_bytes(table))
