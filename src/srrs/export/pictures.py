"""Paths of the images of an audit, for tools that show them."""

import os
from pathlib import Path

from srrs.audit.table import Audit
from srrs.errors import DataError


def picture_files(audit: Audit, root: str | os.PathLike[str] | None) -> list[Path]:
    """Return the absolute path of each row's image. Relative paths refer to `root`, by default the working directory.

    Raises DataError if a row has no file.
    """
    rows = zip(audit.table.id, audit.table.path, strict=True)
    if without := [id for id, path in rows if not path]:
        raise DataError(
            f"Expected an image for each row of the audit, but '{without[0]}' is no file, {len(without):,} of "
            f"{len(audit):,} rows are not. Export csv, parquet, json or datalab, which need no images."
        )
    return [Path(os.path.abspath(Path(root or ".") / path)) for path in audit.table.path]
