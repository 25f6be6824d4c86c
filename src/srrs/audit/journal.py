"""Changes to files, which are recorded before they are made, so that interrupted changes can be continued or undone.

A journal is a JSON file with a list of steps. It is written before the first step is made. Every step can be made and
undone repeatedly, and no file is ever overwritten.
"""

import errno
import filecmp
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from srrs.errors import DataError
from srrs.io import Progress, cause, read_bytes, write_atomic
from srrs.lock import only_run

SCHEMA_VERSION = 1
"""Version of the format of journals."""


@dataclass(frozen=True)
class Journal:
    """The steps of a change to files, and their state."""

    kind: Literal["copy", "move", "table"]
    """What the steps do: copy files, move files, or replace a table."""
    digest: str
    """Digest of the plan."""
    folder: str
    """Absolute path of the folder or table that is changed."""
    steps: tuple[tuple[str, str], ...]
    """Absolute paths of the source and of the target of each step. For a table: its copy, and the table itself."""
    made: tuple[str, ...] = ()
    """Folders that the steps create."""
    before: str = ""
    after: str = ""
    """For a table: sha256 of its bytes before and after the change."""
    state: Literal["planned", "started", "done", "undoing", "undone"] = "planned"


def read_journal(path: str | os.PathLike[str]) -> Journal:
    """Read a journal as `run` writes it.

    Raises
    ------
    DataError
        The file is not a journal, or a step would write outside the folder of the journal and the folder of dropped
        images beside it.
    """
    wanted = f"Expected an undo file of srrs apply at {path}"
    try:
        content = json.loads(read_bytes(path))
    except OSError as error:
        raise DataError(f"{wanted}, but it cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{wanted}, but found no JSON: {error}.") from None
    if not isinstance(content, dict) or content.pop("schema_version", None) != SCHEMA_VERSION:
        raise DataError(f"{wanted}, but found something else, or another version of it.")
    try:
        journal = TypeAdapter(Journal).validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ", ".join(map(str, first["loc"]))
        raise DataError(f"{wanted}, but {where}: {first['msg'][0].lower()}{first['msg'][1:]}.") from None
    if outside := _outside(journal):
        raise DataError(f"{wanted}, but it names {outside}, which is outside {journal.folder}. Nothing was done.")
    return journal


def only_journal(folder: Path) -> Path:
    """Return the path of the only journal in the folder of an audit whose changes can be undone.

    Raises DataError if there is none or more than one.
    """
    files = sorted(folder.glob("undo-*.json"))
    left = [file for file in files if read_journal(file).state != "undone"] or files[-1:]
    if len(left) != 1:
        found = f"{len(left)}: {', '.join(map(str, left))}. Name one of them" if left else "none"
        raise DataError(f"Expected one undo file of srrs apply in {folder}, but found {found}.")
    return left[0]


def _outside(journal: Journal) -> str:
    """Return the first path to which the journal would write although it is not allowed to; '' if there is none."""
    folder = Path(journal.folder)
    if journal.kind == "table":
        wanted = ((str(folder.with_name(f"{folder.name}.before")), journal.folder),)
        return "" if journal.steps == wanted else " and ".join(journal.steps[0]) if journal.steps else "no table"
    homes = [folder] if journal.kind == "copy" else [folder, dropped_folder(folder)]
    touched = [end for _, end in journal.steps]
    if journal.kind == "move":
        touched += [start for start, _ in journal.steps]
    for name in (*touched, *journal.made):
        path = Path(name)
        plain = os.path.isabs(name) and os.path.normpath(name) == name
        above = name in journal.made and any(home.is_relative_to(path) for home in homes)
        if not plain or not (above or any(path.is_relative_to(home) for home in homes)):
            return name
    return ""


def dropped_folder(folder: Path) -> Path:
    """Return the folder to which dropped images are moved. It is beside the folder of the dataset."""
    return folder.with_name(f"{folder.name}-dropped")


def unfinished(path: Path, digest: str, folder: Path) -> Journal | None:
    """Return the journal at `path` if it records an interrupted run of the plan with this digest.

    The result is None if there is no journal, or if its changes were undone. Raises DataError if all changes were made
    already or are being undone, or if the journal contains other changes.
    """
    if not path.exists():
        return None
    journal = read_journal(path)
    if journal.state == "undone":
        return None
    if (journal.digest, journal.folder) != (digest, str(folder)):
        doing = f"of other work, on {journal.folder}"
    elif journal.state == "started":
        return journal
    else:
        doing = "of work that is done already" if journal.state == "done" else "of work that is being undone"
    raise DataError(f"Expected no undo file at {path}, but found one {doing}. Undo that first with: srrs undo {path}")


def run(journal: Journal, path: Path, progress: Progress | None = None) -> None:
    """Make the remaining steps of a copy or a move. `path` is the path of the journal.

    `progress` is called with the number of steps and their total. Raises DataError if another file is at a target, or a
    step fails. After an error, the same call continues.
    """
    with only_run(path.parent):
        journal = _write(replace(journal, state="started"), path)
        for at, (start, end) in enumerate(journal.steps):
            _guarded(_copy if journal.kind == "copy" else _move, Path(start), Path(end), path)
            if progress:
                progress(at + 1, len(journal.steps))
        _write(replace(journal, state="done"), path)


def run_table(journal: Journal, path: Path, content: bytes) -> None:
    """Replace the bytes of a table by `content`, and keep the old table beside it.

    `path` is the path of the journal. Raises DataError if a file cannot be read or written.
    """
    ((copy, table),) = journal.steps
    with only_run(path.parent):
        journal = _write(replace(journal, state="started"), path)
        if sha256(Path(table)) != journal.after:
            write_atomic(copy, Path(table).read_bytes())
            write_atomic(table, content)
        _write(replace(journal, state="done"), path)


def undo(path: str | os.PathLike[str], progress: Progress | None = None) -> Journal:
    """Undo the steps of the journal at `path`: every original is restored to its place, byte for byte.

    Copies are removed, moved files return to their old places, and a table gets its old bytes. An interrupted call can
    be repeated. A file that was changed or removed in the meantime is not touched, and DataError is raised after all
    other steps have been undone.
    """
    path = Path(path)
    journal = read_journal(path)
    if journal.state == "undone":
        return journal
    with only_run(path.parent):
        return _undo(journal, path, progress)


def _undo(journal: Journal, path: Path, progress: Progress | None) -> Journal:
    """Undo the steps of a journal, and return the journal with its new state."""
    journal = _write(replace(journal, state="undoing"), path)
    left = _table_back(journal) if journal.kind == "table" else _steps_back(journal, progress)
    if left:
        more = f" and {len(left) - 3:,} more" if len(left) > 3 else ""
        raise DataError(
            f"Expected the files as srrs apply left them, but these were changed or removed since: "
            f"{', '.join(left[:3])}{more}. They were left alone, all else is undone; fix them and run "
            f"srrs undo {path} again."
        )
    for folder in sorted(journal.made, key=len, reverse=True):
        if Path(folder).is_dir() and not any(Path(folder).iterdir()):
            Path(folder).rmdir()
    return _write(replace(journal, state="undone"), path)


def sha256(path: Path) -> str:
    """Return the sha256 digest of a file. Raises DataError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"Expected a file at {path}, but it cannot be read: {error.strerror}.") from None


def _write(journal: Journal, path: Path) -> Journal:
    """Write a journal, and return it."""
    content = {"schema_version": SCHEMA_VERSION, **asdict(journal)}
    write_atomic(path, json.dumps(content, indent=1).encode())
    return journal


def _guarded(step: Callable[[Path, Path], None], start: Path, end: Path, path: Path) -> None:
    """Make a step, and turn an OSError into a DataError that explains how to continue."""
    try:
        end.parent.mkdir(parents=True, exist_ok=True)
        step(start, end)
    except OSError as error:
        raise DataError(
            f"Cannot write {end}: {cause(error)} What is done so far is in {path}: run the same command again to "
            f"continue, or srrs undo {path} to take it back."
        ) from error


def _copy(start: Path, end: Path) -> None:
    """Copy a file. Raises FileExistsError if a file with other bytes is at the target."""
    if end.exists():
        if not filecmp.cmp(start, end, shallow=False):
            raise FileExistsError(errno.EEXIST, "another file is there")
        return
    part = _part(end)
    try:
        shutil.copy2(start, part)
        part.replace(end)
    finally:
        part.unlink(missing_ok=True)


def _part(end: Path) -> Path:
    """Return the temporary path of a copy. It is always the same, so that a later call replaces or removes the file."""
    return end.with_name(f".{hashlib.sha256(os.fsencode(end.name)).hexdigest()[:16]}.part")


def _move(start: Path, end: Path) -> None:
    """Move a file. Raises FileExistsError if a file with other bytes is at the target."""
    if end.exists():
        if not start.exists():
            return
        if not filecmp.cmp(start, end, shallow=False):
            raise FileExistsError(errno.EEXIST, "another file is there")
        start.unlink()  # the file was copied to another disk before an interruption
        return
    try:
        start.rename(end)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(start, end)
        start.unlink()


def _steps_back(journal: Journal, progress: Progress | None) -> list[str]:
    """Undo the steps, the last one first. Return the files that were changed or removed in the meantime."""
    left, back = [], _uncopy if journal.kind == "copy" else _unmove
    for at, (start, end) in enumerate(reversed(journal.steps)):
        try:
            _part(Path(end)).unlink(missing_ok=True)
            if not back(Path(start), Path(end)):
                left.append(end)
        except OSError as error:
            raise DataError(f"Cannot undo {end}: {cause(error)} Then run srrs undo again to continue.") from error
        if progress:
            progress(at + 1, len(journal.steps))
    return left


def _uncopy(start: Path, end: Path) -> bool:
    """Remove a copy. Return False if the copy or the original has been changed."""
    if end.exists():
        if not start.exists() or not filecmp.cmp(start, end, shallow=False):
            return False
        end.unlink()
    return True


def _unmove(start: Path, end: Path) -> bool:
    """Move a file back. Return False if that is not possible, because both files exist and differ, or none exists."""
    if start.exists() != end.exists():
        if end.exists():
            start.parent.mkdir(parents=True, exist_ok=True)
            _move(end, start)
        return True
    if not start.exists() or not filecmp.cmp(start, end, shallow=False):
        return False
    end.unlink()
    return True


def _table_back(journal: Journal) -> list[str]:
    """Restore the old bytes of a table. Return the files that were changed in the meantime."""
    ((copy, table),) = journal.steps
    found = sha256(Path(table))
    if found == journal.after != journal.before:
        if sha256(Path(copy)) != journal.before:
            return [copy]
        write_atomic(table, Path(copy).read_bytes())
    elif found != journal.before:
        return [table]
    Path(copy).unlink(missing_ok=True)
    return []
