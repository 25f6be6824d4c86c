"""Functions that apply a plan to a table (CSV, TSV or parquet): they write the table with the new labels."""

import hashlib
import importlib.util
import io
import os
from pathlib import Path
from typing import Any

import pandas as pd

from srrs.audit.journal import Journal, run_table, sha256, unfinished
from srrs.audit.plan import Plan
from srrs.data.tables import no_column, read_parquet, read_text_table
from srrs.errors import DataError, MissingExtraError
from srrs.io import write_atomic


def write_table(
    plan: Plan,
    path: str | os.PathLike[str],
    *,
    source: str | os.PathLike[str] | None = None,
    label_column: str | None = None,
    every_row: bool = False,
    dry: bool = False,
) -> Path:
    """Write a new table with the new labels, without the dropped and the unusable rows. Return its path.

    Parameters
    ----------
    plan : the plan.
    path : path of the new table.
    source : the table that was audited; its other columns are kept. Without it, the columns are id, path and label.
    label_column : the column of labels, if its name is not one of the usual names.
    every_row : whether all rows stay. A column `action` then shows the action of each row.
    dry : whether to check everything and write nothing.

    Raises
    ------
    DataError
        `path` exists; `source` is not the table that was audited; or the column of labels cannot be found.
    MissingExtraError
        The table is a parquet file, and pyarrow is not installed.
    """
    path = Path(path)
    content = _content(plan, path, source, label_column, every_row)
    if path.exists():
        raise DataError(f"Expected to write a new table, but {path} is there. Give another name, or --in-place.")
    return path if dry else write_atomic(path, content)


def relabel_in_place(
    plan: Plan,
    path: str | os.PathLike[str],
    undo_file: str | os.PathLike[str],
    *,
    label_column: str | None = None,
    every_row: bool = False,
    dry: bool = False,
) -> Path:
    """Replace the labels in the table that was audited. Unusable rows stay.

    The old table is kept beside the new one as `<name>.before`. `srrs undo` restores the old table with `undo_file`.
    The other parameters, the return value and the errors are those of `write_table`.
    """
    path = Path(os.path.abspath(path))
    begun = unfinished(Path(undo_file), plan.digest, path)
    if begun and sha256(path) == begun.after:
        if not dry:
            run_table(begun, Path(undo_file), b"")
        return path
    content = _content(plan, path, path, label_column, every_row, keep_unusable=True)
    copy = path.with_name(f"{path.name}.before")
    if copy.exists() and not begun:
        raise DataError(f"Expected to keep the old table as {copy}, but something is there. Move it away.")
    before, after = sha256(path), hashlib.sha256(content).hexdigest()
    steps = ((str(copy), str(path)),)
    if not dry:
        run_table(Journal("table", plan.digest, str(path), steps, before=before, after=after), Path(undo_file), content)
    return path


def _content(
    plan: Plan,
    path: Path,
    source: str | os.PathLike[str] | None,
    label_column: str | None,
    every_row: bool,
    keep_unusable: bool = False,
) -> bytes:
    """Return the bytes of the table with the new labels."""
    table = plan.table.reset_index(drop=True)
    if source is None:
        frame = table[["id", "path", "label"]].copy()
        frame["label"] = table.label.where(table.label.notna(), table.given)
        style: dict[str, Any] = {}
    else:
        frame, style = _read(Path(source))
        frame = _relabeled(frame, table, label_column, str(source))
    if every_row:
        frame = frame.assign(action=table.action.to_numpy())
    else:
        gone = ["drop"] if keep_unusable else ["drop", "unusable"]
        frame = frame[~table.action.isin(gone).to_numpy()]
    if source is None or path.suffix.lower() != Path(source).suffix.lower():
        style["sep"] = "\t" if path.suffix.lower() == ".tsv" else ","
    return _bytes(frame, path, style)


def _relabeled(frame: pd.DataFrame, table: pd.DataFrame, label_column: str | None, source: str) -> pd.DataFrame:
    """Return the user's table with the new labels. A class is written as it is written in the table."""
    if len(frame) != len(table):
        raise DataError(f"Expected the {len(table):,} rows of the audit in {source}, but found {len(frame):,}.")
    texts = [[str(cell).strip() for cell in row] for row in frame.itertuples(index=False)]
    for number, (cells, id, path) in enumerate(zip(texts, table.id, table.path, strict=True), 1):
        ends = [cell.replace("\\", "/") for cell in cells if cell]
        if id not in cells and not any(f"/{Path(path or '').as_posix()}".endswith(f"/{end}") for end in ends):
            raise DataError(f"Expected the audit's rows in their order in {source}, but row {number} is not '{id}'.")
    column = _label_column(frame, table, label_column, source)
    written = {name: cell for name, cell in zip(table.given, frame[column], strict=True) if name is not None}
    changed = (table.action == "relabel").to_numpy()
    cells = frame[column].tolist()
    for at in changed.nonzero()[0]:
        cells[at] = written.get(table.label[at], table.label[at])
    return frame.assign(**{column: pd.Series(cells, index=frame.index, dtype=object)})


def _label_column(frame: pd.DataFrame, table: pd.DataFrame, asked: str | None, source: str) -> str:
    """Return the column whose cells correspond one to one to the given classes. Raises DataError without one."""
    if asked is not None and asked not in frame.columns:
        raise no_column("label", (asked,), source, frame.columns)
    known = table.given.notna().to_numpy()

    def tells(column: str) -> bool:
        pairs = {(name, str(cell).strip()) for name, cell in zip(table.given[known], frame[column][known], strict=True)}
        return len(pairs) == len({name for name, _ in pairs}) == len({cell for _, cell in pairs})

    fitting = [column for column in ([asked] if asked else frame.columns) if tells(column)]
    if len(fitting) != 1:
        found = f"{' and '.join(fitting)} do" if fitting else f"{asked or 'none'} does not" if asked else "none does"
        raise DataError(
            f"Expected one column of {source} to hold the labels of the audit, but {found}. Name the column of labels "
            "with --label, and give the table as it was when the audit was made."
        )
    return fitting[0]


def _is_parquet(path: Path) -> bool:
    """Return whether a path is that of a parquet file."""
    return path.suffix.lower() in (".parquet", ".pq")


def _read(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return a table with its text unchanged, and its separator, line ends and encoding."""
    if _is_parquet(path):
        return read_parquet(path).to_pandas(), {}
    table = read_text_table(path)
    style = {"sep": table.separator, "lineterminator": table.newline}
    mark = {"encoding": "utf-8-sig"} if table.marked else {}
    return pd.DataFrame(table.rows, columns=table.columns, dtype=object), style | mark


def _bytes(frame: pd.DataFrame, path: Path, style: dict[str, Any]) -> bytes:
    """Return a table as the bytes of a parquet or text file."""
    if _is_parquet(path):
        _need_pyarrow()
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        return buffer.getvalue()
    encoding = style.pop("encoding", "utf-8")
    text = frame.to_csv(index=False, **({"lineterminator": "\n"} | style))
    return str(text).encode(encoding, "backslashreplace")


def _need_pyarrow() -> None:
    """Raise MissingExtraError if pyarrow is not installed."""
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingExtraError("pyarrow", "parquet", "A parquet table")
