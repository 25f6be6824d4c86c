"""No export succeeds with a file that is not whole: a full disk is one sentence, and nothing half-written stays."""

import errno
import os

import pytest

from audits import hand_audit
from srrs import io
from srrs.audit.plan import plan
from srrs.audit.priority import write_review
from srrs.audit.relabel import write_table
from srrs.errors import DataError
from srrs.export.datalab import write_datalab
from srrs.export.fiftyone import write_fiftyone
from srrs.export.label_studio import write_label_studio
from srrs.export.parquet import write_parquet

ROWS = [{"id": "a.jpg", "path": "a.jpg", "given": "cat", "suggested": "dog"}, {"id": "b.jpg", "path": "b.jpg"}]
WRITERS = {
    "csv": lambda audit, path: audit.to_csv(path),
    "json": lambda audit, path: audit.to_json(path),
    "page": lambda audit, path: audit.report(path, thumbnail=lambda row: None),
    "parquet": write_parquet,
    "datalab": write_datalab,
    "fiftyone": write_fiftyone,
    "label-studio": write_label_studio,
    "review": lambda audit, path: write_review(audit, [0, 1], path),
    "table": lambda audit, path: write_table(plan(audit, {}), path),
}


@pytest.mark.parametrize(("form", "files"), [*((form, 0) for form in WRITERS), ("fiftyone", 1), ("label-studio", 1)])
def test_a_full_disk_is_never_a_success(form, files, tmp_path, monkeypatch) -> None:
    audit, left = hand_audit(ROWS, ("cat", "dog")), [files]

    def full_after(descriptor: int) -> None:
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left[0] -= 1

    monkeypatch.setattr(io.os, "fsync", full_after)
    with pytest.raises(DataError, match=r"Cannot write .*: the disk is full"):
        WRITERS[form](audit, tmp_path / "out")
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == files
    assert not [path for path in written if path.suffix == ".part"]
