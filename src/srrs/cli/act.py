"""Commands that act on an audit: apply, undo."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from srrs.cli.options import Json
from srrs.errors import SettingsError


def apply(
    audit: Annotated[Path, typer.Argument(help="Folder that `srrs audit` wrote, or its audit.json.")],
    decisions: Annotated[Path | None, typer.Option(help="decisions.csv of the page; else sure suggestions.")] = None,
    to: Annotated[Path | None, typer.Option(help="New folder for copies under their class.")] = None,
    root: Annotated[Path | None, typer.Option(help="Where relative paths of the audit start; else found.")] = None,
    drop: Annotated[str | None, typer.Option(help="Drop these as well: duplicates, unusable, or both.")] = None,
    table: Annotated[Path | None, typer.Option(help="New table: .csv, .tsv or .parquet.")] = None,
    source: Annotated[Path | None, typer.Option(help="Table the audit was made of, to keep its columns.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="Column of that table that holds the labels.")] = None,
    confidence: Annotated[float, typer.Option(help="Without decisions, how sure a suggestion must be.")] = 0.9,
    new_classes: Annotated[bool, typer.Option("--new-classes", help="Decisions may name new classes.")] = False,
    every_row: Annotated[bool, typer.Option("--every-row", help="Keep all rows; a column `action` tells.")] = False,
    in_place: Annotated[bool, typer.Option("--in-place", help="Change the originals; can be undone.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, what would be done is shown.")] = False,
    as_json: Json = False,
) -> None:
    """Relabel and drop what was decided, in a copy of the folder or a new table; shows what it would do until --yes."""
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
            f"Beside the images of the audit lie {len(others):,} that it does not know and that are not copied, "
            f"{others[0]} first. If they are new, audit again."
        )
    undoable = yes and (to is not None or in_place)
    console.say(todo)
    console.note(f"written: {where}" if yes else "Nothing is done yet: add --yes to do it.")
    if undoable:
        console.note(f"to take it back: srrs undo {undo_file}")
    console.result(todo.to_dict() | {"done": yes, "undo": str(undo_file) if undoable else None})


def _others(record: Any, work: Any, root: Path) -> list[str]:
    """Return images that lie beside copied ones and that the audit does not know, new ones for instance."""
    from srrs.data.folders import is_picture

    known = {os.path.abspath(root / path) for path in record.table.path if path}
    folders = dict.fromkeys(os.path.dirname(start) for start, _ in work.steps)
    beside = (path for folder in folders for path in sorted(Path(folder).iterdir()) if is_picture(path.name))
    return [str(path) for path in beside if str(path) not in known and not path.name.startswith(".")]


def undo(
    undo_file: Annotated[Path, typer.Argument(help="Undo file that `srrs apply` named.")], as_json: Json = False
) -> None:
    """Take back what `srrs apply` did to files."""
    from srrs.audit import journal
    from srrs.console import Console

    console = Console(as_json)
    before = journal.read_journal(undo_file).state == "undone"
    with console.progress("Undoing") as advance:
        done = journal.undo(undo_file, advance)
    console.say(f"{done.folder}: {'undone before, nothing is left to do' if before else 'undone'}")
    console.result({"undone": done.folder, "files": 0 if before else len(done.steps)})
