"""The audit as a folder that FiftyOne imports as a `FiftyOneDataset`, written without FiftyOne.

The folder contains the JSON form of this format: `samples.json`, and a `metadata.json` without a version. Every version
of FiftyOne can read this form. It keeps the order of the samples, and requires neither copies of the images nor a
schema.
"""

import json
import os
from pathlib import Path
from typing import Any

from srrs.audit.table import NUMBERS, SCHEMA_VERSION, Audit
from srrs.export.pictures import picture_files
from srrs.io import write_atomic

LABELS = {"given": None, "suggested": "suggested_confidence", "zero_shot": None}
"""Fields of the type Classification, besides those of the tuners; for each, the column with its confidence or None."""


def write_fiftyone(audit: Audit, folder: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> Path:
    """Write one sample per row in the user's order, and return the folder.

    The labels (`given`, `suggested`, ...) become fields of the type Classification, and the scores become numbers. The
    id of the row is in the field `row_id`, because FiftyOne generates its own ids on import. The status is also a tag.
    A field without a value is left out.

    Parameters
    ----------
    audit : the audit.
    folder : the folder to write.
    root : folder to which relative paths refer; by default the working directory.

    Raises
    ------
    DataError
        A row has no file, or the folder cannot be written.
    """
    folder = Path(folder)
    files = picture_files(audit, root)
    rows = audit.table.astype(object).where(audit.table.notna(), None).to_dict("records")
    samples = [_sample(row, file, audit.tuned) for row, file in zip(rows, files, strict=True)]
    info = {"classes": list(audit.class_names), "srrs": {"schema_version": SCHEMA_VERSION, "settings": audit.settings}}
    write_atomic(folder / "samples.json", json.dumps({"samples": samples}, indent=1, allow_nan=False).encode())
    write_atomic(folder / "metadata.json", json.dumps({"media_type": "image", "info": info}, indent=1).encode())
    return folder


def _sample(row: dict[Any, Any], file: Path, tuned: tuple[str, ...]) -> dict[str, Any]:
    """Return the sample of a row. `tuned` contains the names of the tuners, which are columns of predicted classes."""
    plain = ("status", "issue", "flags", *(name for name in NUMBERS if name != LABELS["suggested"]))
    fields = {name: row[name] for name in plain} | {name: _label(row, name) for name in (*LABELS, *tuned)}
    known = {name: value for name, value in fields.items() if value is not None}
    return {"filepath": str(file), "tags": [row["status"]], "row_id": row["id"], **known}


def _label(row: dict[Any, Any], name: str) -> dict[str, Any] | None:
    """Return a column of the row as a Classification; None if it has no value."""
    if row[name] is None:
        return None
    confidence = row.get(LABELS.get(name))
    sure = {} if confidence is None else {"confidence": confidence}
    return {"_cls": "Classification", "tags": [], "label": row[name], **sure}
