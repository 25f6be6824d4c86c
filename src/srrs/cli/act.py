"""Commands that apply the result of an audit, or undo the changes: apply, undo."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srrs.cli.options import Json
from srrs.errors import SettingsError

if TYPE_CHECKING:
    from srrs.audit.plan import Plan
    from srrs.audit.table import Audit


@dataclass(frozen=True)
class Changes:
    """Options that determine which images are relabeled and dropped."""

    decisions: Annotated[
        Path | None, typer.Option(help="decisions.csv of the review page. Without it, confident suggestions are used.")
    ] = None
    confidence: Annotated[
        float, typer.Option(help="Without --decisions: lowest confidence of a suggestion that is used.")
    ] = 0.9
    new_classes: Annotated[bool, typer.Option("--new-classes", help="Allow decisions to name new classes.")] = False
    drop: Annotated[
        str | None, typer.Option(help="Also drop images: duplicates, unusable, or duplicates,unusable.")
    ] = None

    def plan(self, record: "Audit") -> "Plan":
        """Return the changes to the images of an audit. Raises DataError if the decisions do not match the audit."""
        from srrs.audit.decisions import read_decisions
        from srrs.audit.plan import plan

        chosen = read_decisions(self.decisions, record, new_classes=self.new_classes) if self.decisions else None
        drop = [part.strip() for part in self.drop.split(",")] if self.drop else ()
        return plan(record, chosen, confidence=self.confidence, drop=drop)


@dataclass(frozen=True)
class Tables:
    """Options for writing a table."""

    source: Annotated[Path | None, typer.Option(help="Table that was audited. The new table keeps its columns.")] = None
    label: Annotated[str | None, typer.Option(help="Column of that table that holds the labels.")] = None
    every_row: Annotated[
        bool, typer.Option("--every-row", help="Keep the rows of dropped images. A column `action` has the decisions.")
    ] = False


def apply(
    audit: Annotated[Path, typer.Argument(help="Folder that `srrs audit` wrote, or its audit.json.")],
    *,
    to: Annotated[Path | None, typer.Option(help="New folder for copies, in one subfolder per class.")] = None,
    table: Annotated[Path | None, typer.Option(help="New table to write: .csv, .tsv or .parquet.")] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Change the original files. srrs undo restores them.")
    ] = False,
    changes: Changes,
    tables: Tables,
    root: Annotated[Path | None, typer.Option(help="Folder from which the relative paths of the audit start.")] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Carry out the plan. Without --yes, the plan is only shown.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Relabel and drop images, in a copy, in place or in a table. Without --yes, only shows the plan."""
    from srrs.audit import apply as folders
    from srrs.audit import relabel
    from srrs.console import Console

    if (to is None and table is None and not in_place) or (to and table):
        raise SettingsError("expected one of --to FOLDER, --table FILE and --in-place")
    console, record = Console(as_json), folders.read_audit(audit)
    home = audit if audit.is_dir() else audit.parent
    root = root or folders.find_root(record, home)
    todo = changes.plan(record)
    folder = to if to or table else folders.dataset_folder(todo, root)
    where = folder or table
    assert where is not None
    undo_file = home / folders.undo_name(todo, where)
    columns: dict[str, Any] = {"label_column": tables.label, "every_row": tables.every_row, "dry": not yes}
    if folder:
        work = folders.into_folder(todo, folder, undo_file, in_place=in_place, root=root)
        if yes:
            with console.progress("Acting") as advance:
                folders.act(work, undo_file, advance)
        if not in_place and (others := _others(record, work, root)):
            console.note(
                f"{len(others):,} images in these folders are not in the audit and are not copied, {others[0]} first. "
                "If they are new, audit again."
            )
    elif in_place:
        relabel.relabel_in_place(todo, where, undo_file, **columns)
    else:
        relabel.write_table(todo, where, source=tables.source, **columns)
    undoable = yes and (folder is not None or in_place)
    console.say(todo)
    console.note(f"written: {where}" if yes else "Nothing is changed yet: add --yes to carry it out.")
    if undoable:
        console.note(f"to undo: srrs undo {undo_file}")
    console.result(todo.to_dict() | {"done": yes, "undo": str(undo_file) if undoable else None})


def _others(record: Any, work: Any, root: Path) -> list[str]:
    """Return the images that are in the folders of copied images but not in the audit, such as new images."""
    from srrs.data.folders import is_picture

    known = {os.path.abspath(root / path) for path in record.table.path if path}
    folders = dict.fromkeys(os.path.dirname(start) for start, _ in work.steps)
    beside = (path for folder in folders for path in sorted(Path(folder).iterdir()) if is_picture(path.name))
    return [str(path) for path in beside if str(path) not in known and not path.name.startswith(".")]


def undo(
    undo_file: Annotated[Path, typer.Argument(help="Undo file that `srrs apply` wrote, or the folder of the audit.")],
    as_json: Json = False,
) -> None:
    """Undo a run of `srrs apply`."""
    from srrs.audit import journal
    from srrs.console import Console

    console = Console(as_json)
    if undo_file.is_dir():
        undo_file = journal.only_journal(undo_file)
    before = journal.read_journal(undo_file).state == "undone"
    with console.progress("Undoing") as advance:
        done = journal.undo(undo_file, advance)
    console.say(f"{done.folder}: {'was undone before, nothing to do' if before else 'undone'}")
    console.result({"undone": done.folder, "files": 0 if before else len(done.steps)})
