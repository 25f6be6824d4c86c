"""The order in which a person should review images, if there is not enough time for all of them."""

import os
from pathlib import Path

import numpy as np

from srrs.audit.flags import is_trusted
from srrs.audit.table import Audit
from srrs.core.discriminant import out_of_fold
from srrs.core.keyed import folds
from srrs.data.tables import csv_bytes
from srrs.errors import DataError
from srrs.io import write_atomic
from srrs.records import Floats, Ints, Round

FOLDS = 5
"""Number of folds of the second detector."""
COLUMNS = ("id", "path", "given", "status", "p_clean", "suggested", "suggested_confidence", "flags")
"""Columns of review.csv, besides the rank."""


def doubt(last: Round, features: Floats) -> Floats:
    """Return a score (N,) of each given label. The images with the highest scores should be reviewed first.

    The score is the sum of two terms: the negative logarithm of the label's quality, and the negative logarithm of its
    probability by a second detector. The detector is a Gaussian discriminant classifier of the features (N, D). It is
    fitted to the class probabilities that the audit found for the images of the other folds. Quality and detector
    rarely miss the same wrong label, so their sum ranks more wrong labels first than each of them alone.
    """
    rows, given = np.arange(len(last.quality)), last.evidence.labels
    soft = last.targets.soft if last.partition.posterior is None else last.partition.posterior
    gaussian = out_of_fold(features, soft, folds(last.evidence.keys, FOLDS, seed=0))
    return np.asarray(-np.log(last.quality + 1e-12) - np.log(gaussian[rows, given] + 1e-6))


def review_order(audit: Audit, budget: int) -> Ints:
    """Return at most `budget` rows of the table that a person should review first, without rows already decided on.

    Raises DataError for an audit that was read from a file, because such an audit has no features.
    """
    if audit.round is None or audit.features is None or audit.at is None:
        raise DataError("Expected a fresh audit, but this one was read from a file: the order needs features.")
    doubts = np.round(doubt(audit.round, audit.features), 6).tolist()
    ids, flags = audit.table.id.tolist(), audit.table["flags"].tolist()
    rows = zip(audit.at.tolist(), doubts, strict=True)
    open_rows = [(-value, ids[row], row) for row, value in rows if not is_trusted(flags[row])]
    return np.array([row for _, _, row in sorted(open_rows)[:budget]], dtype=np.int64)


def write_review(audit: Audit, order: Ints, path: str | os.PathLike[str]) -> Path:
    """Write review.csv: the rows `order` of the table with their rank, from 1. Return its path."""
    table = audit.table.iloc[order][list(COLUMNS)]
    table.insert(0, "review", np.arange(1, len(order) + 1))
    return write_atomic(path, csv_bytes(table))
