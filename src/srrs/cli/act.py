"""Commands that act on an audit: apply, undo."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from srrs.cli.options import Json
from srrs.errors import SettingsError


def apply(
    audit: Annotated[Path, typer.Argument(help="Folder that `srrs audit` wrote, or its audit.json.")],
    decisions: Annotated[
        Path | None, typer.Option(help="decisions.csv of the page; without it, sure suggestions are used.")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="New folder for copies, in one subfolder per class.")] = None,
    root: Annotated[Path | None, typer.Option(help="Folder that the relative paths of the audit start from.")] = None,
    drop: Annotated[
        str | None, typer.Option(help="Also drop images: duplicates, unusable, or duplicates,unusable.")
    ] = None,
    table: Annotated[Path | None, typer.Option(help="New table to write: .csv, .tsv or .parquet.")] = None,
    source: Annotated[Path | None, typer.Option(help="Table that was audited; its columns are kept.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="Column of that table that holds the labels.")] = None,
    confidence: Annotated[float, typer.Option(help="Without decisions: least confidence of a suggestion.")] = 0.9,
    new_classes: Annotated[bool, typer.Option("--new-classes", help="Allow decisions to name new classes.")] = False,
    every_row: Annotated[
        bool, typer.Option("--every-row", help="Keep all rows; a column `action` says what was decided.")
    ] = False,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Change the original files; srrs undo takes it back.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Carry it out; without --yes, only show the plan.")] = False,
    as_json: Json = False,
) -> None:
    """Relabel and drop images as decided, in a copy of the folder or in a new table. Shows the plan without --yes."""
    from srrs.audit import apply as folders
    from srrs.audit import relabel as tables
    from srrs.audit.decisions import read_decisions
    from srrs.audit.plan import plan
    from srrs.console import Console

    if (to is None and table is None and not in_place) or (to and table):
        raise SettingsError("expected one of --to FOLDER, --table FILE and --in-place")
    console, record = Console(as_json), folders.read_audit(audit)
    root = root or folders.find_root(record, audit if audit.is_dir() else audit.parent)
    chosen = read_decisions(decisions, record, new_classes=new_classes) if decisions else None
    todo = plan(record, chosen, confidence=confidence, drop=[part.strip() for part in drop.split(",")] if drop else ())
    to = to if to or table else folders.dataset_folder(todo, root)
    where = to or table
    assert where is not None
    undo_file = (audit if audit.is_dir() else audit.parent) / folders.undo_name(todo, where)
    columns: dict[str, Any] = {"label_column": label, "every_row": every_row, "dry": not yes}
    if to:
        work = folders.into_folder(todo, to, undo_file, in_place=in_place, root=root)
        if yes:
            with console.progress("Acting") as advance:
                folders.act(work, undo_file, advance)
    elif in_place:
        tables.relabel_in_place(todo, where, undo_file, **columns)
    else:
        tables.write_table(todo, where, source=source, **columns)
    if to and not in_place and (others := _others(record, work, root)):
        console.note(
            f"{len(others):,} images in these folders are not in the audit and are not copied, {others[0]} first. If "
            "they are new, audit again."
        )
    undoable = yes and (to is not None or in_place)
    console.say(todo)
    console.note(f"written: {where}" if yes else "Nothing is changed yet: add --yes to carry it out.")
    if undoable:
        console.note(f"to undo: srrs undo {undo_file}")
    console.result(todo.to_dict() | {"done": yes, "undo": str(undo_file) if undoable else None})


def _others(record: Any, work: Any, root: Path) -> list[str]:
    """Return images that are in the folders of copied images but not in the audit, such as new ones."""
    from srrs.data.folders import is_picture

    known = {os.path.abspath(root / path) for path in record.table.path if path}
    folders = dict.fromkeys(os.path.dirname(start) for start, _ in work.steps)
    beside = (path for folder in folders for path in sorted(Path(folder).iterdir()) if is_picture(path.name))
    return [str(path) for path in beside if str(path) not in known and not path.name.startswith(".")]


def undo(
    undo_file: Annotated[Path, typer.Argument(help="Undo file whose name `srrs apply` printed.")], as_json: Json = False
) -> None:
    """Undo a run of `srrs apply`."""
    from srrs.audit import journal
    from srrs.console import Console

    console = Console(as_json)
    before = journal.read_journal(undo_file).state == "undone"
    with console.progress("Undoing") as advance:
        done = journal.undo(undo_file, advance)
    console.say(f"{done.folder}: {'was undone before, nothing to do' if before else 'undone'}")
    console.result({"undone": done.folder, "files": 0 if before else len(done.steps)})
