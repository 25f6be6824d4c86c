"""The audit as a table with the columns that cleanlab's Datalab uses for label issues."""

import os
from pathlib import Path

import pandas as pd

from srrs.audit.table import Audit
from srrs.data.tables import csv_bytes
from srrs.io import write_atomic

WRONG = ("noisy", "outside")
"""Statuses of a label that is probably wrong: the image shows another class (noisy), or none of the classes
(outside)."""


def datalab_issues(audit: Audit) -> pd.DataFrame:
    """Return the columns of `Datalab.get_issues("label")`: is_label_issue, label_score, given_label, predicted_label.

    The table has one row per row of the user, in the user's order, with the id as index. As in Datalab, a score ranges
    from 0 to 1, and lower is worse. An unusable row is not a label issue, and has neither score nor prediction.
    """
    table = audit.table.set_index("id")
    return pd.DataFrame(
        {
            "is_label_issue": table.status.isin(WRONG),
            "label_score": table.quality,
            "given_label": table.given,
            "predicted_label": table.suggested,
        }
    )


def write_datalab(audit: Audit, path: str | os.PathLike[str]) -> Path:
    """Write the result of `datalab_issues` as CSV, and return the path. Raises DataError if it cannot be written."""
    return write_atomic(path, csv_bytes(datalab_issues(audit).reset_index()))
