"""Functions that apply a plan to a folder: they copy the images into class folders, or change the folder itself.

Original files are only changed `in_place`. All changes are recorded in an undo file before the first one (see
`journal`).
"""

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from srrs.audit.journal import Journal, dropped_folder, run, unfinished
from srrs.audit.plan import Plan
from srrs.audit.table import Audit
from srrs.errors import DataError
from srrs.io import Progress, is_file

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # names that Windows reserves


@dataclass(frozen=True)
class _Photo:
    """A row of a plan with its file, and its target path below a folder of class folders."""

    row: Any
    file: Path
    target: str
    home: Path
    """The folder of class folders that contains the file; the folder of the file if there are no class folders."""

    @property
    def action(self) -> str:
        """Return the action of the row."""
        return str(self.row.action)


def read_audit(path: str | os.PathLike[str]) -> Audit:
    """Read the audit in a folder that `srrs audit` wrote, or an audit.json. Raises DataError if there is none."""
    path = Path(path)
    return Audit.from_json(path / "audit.json" if path.is_dir() else path)


def find_root(audit: Audit, folder: str | os.PathLike[str]) -> Path:
    """Return the folder to which the relative paths of an audit refer.

    This is the working directory if it contains the files. Otherwise it is the first folder that contains the files
    among `folder` (the folder of the audit) and its parent folders.
    """
    table = audit.table[audit.table.status != "unusable"]
    paths = [path for path in table.path if path and not os.path.isabs(path)]
    some = paths[:: max(1, len(paths) // 100)]
    here, audit_folder = Path.cwd(), Path(os.path.abspath(folder))
    for base in (here, audit_folder, *audit_folder.parents):
        if all(is_file(base / path) for path in some):
            return base
    return here


def dataset_folder(plan: Plan, root: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder that contains the class folders of a plan's images. Raises DataError if there is none."""
    homes = {photo.home for photo in _photos(plan, ("relabel", "keep", "drop"), root)}
    if len(homes) != 1:
        raise DataError(
            f"Expected images in one folder of class folders, but found {len(homes)} such folders. Name the folder to "
            "change with --to FOLDER, or change a table with --table FILE."
        )
    return homes.pop()


def into_folder(
    plan: Plan,
    folder: str | os.PathLike[str],
    undo_file: str | os.PathLike[str],
    *,
    in_place: bool = False,
    root: str | os.PathLike[str] | None = None,
) -> Journal:
    """Return the file changes that put every image into the folder of its class. `act` makes these changes.

    A new folder gets copies named `<class>/<old name>`, without dropped and unusable images. With `in_place`, the
    folder of the images itself is changed: relabeled images are moved to the folder of their class, and dropped images
    to `<folder>-dropped` beside the folder. If a file name exists already, -2, -3 and so on is added to the new name.
    If `undo_file` shows that the same changes were interrupted, the remaining changes are returned.

    Parameters
    ----------
    plan : the plan.
    folder : the new folder or, with `in_place`, the folder to change.
    undo_file : the undo file of these changes, see `undo_name`.
    in_place : whether to change the folder of the images instead of copying them.
    root : folder to which relative paths of the audit refer; by default the working directory.

    Raises
    ------
    DataError
        An image is missing or is no file; the new folder is not empty or contains the originals; or, with `in_place`,
        an image is outside the folder.
    """
    folder = Path(os.path.abspath(folder))
    if begun := unfinished(Path(undo_file), plan.digest, folder):
        return begun
    photos = _photos(plan, ("relabel", "drop") if in_place else ("relabel", "keep"), root)
    steps = _moves(photos, folder) if in_place else _copies(photos, folder)
    if missing := [start for start, _ in steps if not is_file(start)]:
        raise DataError(
            f"Expected the images of the audit, but {len(missing):,} are not there, {missing[0]} first. Name the "
            "folder where srrs audit ran with --root FOLDER, or make the audit again."
        )
    made = sorted({str(above) for _, end in steps for above in end.parents if not above.exists()})
    pairs = tuple((str(start), str(end)) for start, end in steps)
    return Journal("move" if in_place else "copy", plan.digest, str(folder), pairs, tuple(made))


def act(journal: Journal, undo_file: str | os.PathLike[str], progress: Progress | None = None) -> Path:
    """Record the file changes of `into_folder` in `undo_file`, make them, and return the changed folder.

    If a call is interrupted, the same call makes the remaining changes. `journal.undo(undo_file)` undoes all changes.
    `progress` is called with the number of changes made and their total. Raises DataError if a file with the new name
    exists or a file cannot be written.
    """
    run(journal, Path(undo_file), progress)
    return Path(journal.folder)


def undo_name(plan: Plan, what: str | os.PathLike[str]) -> str:
    """Return the name of the undo file of a plan for a folder or table. The same plan always gets the same name."""
    work = f"{plan.digest} {os.path.abspath(what)}".encode("utf-8", "surrogateescape")
    return f"undo-{hashlib.sha256(work).hexdigest()[:12]}.json"


def _photos(plan: Plan, actions: Sequence[str], root: str | os.PathLike[str] | None) -> list[_Photo]:
    """Return the rows with these actions, with their files. Raises DataError if a row has no file."""
    rows: list[Any] = list(plan.table.itertuples())
    files = [Path(os.path.abspath(Path(root or ".") / row.path)) if row.path else None for row in rows]
    folders, inner = _layout(rows, files)
    in_folders = bool(folders)
    _name_folders(folders, [row.label for row in rows if row.label is not None])
    photos = []
    for row, file, name in zip(rows, files, inner, strict=True):
        if row.action not in actions or (row.action == "keep" and row.label is None):
            continue
        if file is None:
            raise DataError(
                f"Expected a file for each row, but '{row.id}' has none. Write a table instead, with --table."
            )
        target = f"{folders[row.label]}/{name}" if row.label is not None else name
        photos.append(_Photo(row, file, target, file.parents[row.id.count("/")] if in_folders else file.parent))
    return photos


def _copies(photos: list[_Photo], folder: Path) -> list[tuple[Path, Path]]:
    """Return the source and the target of each copy. Raises DataError as `into_folder` does."""
    for photo in photos:
        if photo.file.is_relative_to(folder) or folder.is_relative_to(photo.home):
            raise DataError(
                f"Expected a folder apart from the images, but they lie in {photo.home} and the copies would go to "
                f"{folder}. Give a folder elsewhere, or --in-place to change the images' own folder."
            )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"Expected an empty or a new folder at {folder}, but something is there. Give another one.")
    photos = sorted(photos, key=lambda photo: photo.action)  # "keep" comes first, so that kept images keep their names
    names = _apart([photo.target for photo in photos], [])
    return [(photo.file, folder / name) for photo, name in zip(photos, names, strict=True)]


def _moves(photos: list[_Photo], folder: Path) -> list[tuple[Path, Path]]:
    """Return the old and the new path of each moved file. Raises DataError as `into_folder` does."""
    if not folder.is_dir():
        raise DataError(f"Expected the folder that holds the images at {folder}, but there is none.")
    if outside := [photo.file for photo in photos if not photo.file.is_relative_to(folder)]:
        raise DataError(
            f"Expected the images to change in {folder}, but {outside[0]} is not there. Give the folder that the "
            "audit was made of, or leave --in-place out to fill a new one."
        )
    if len({photo.file for photo in photos}) < len(photos):
        raise DataError(
            "Expected each image to change once, but one file has several rows of the audit. Write a table "
            "instead, with --table, or leave --in-place out."
        )
    aside = dropped_folder(folder)
    relabeled, dropped = ([photo for photo in photos if photo.action == action] for action in ("relabel", "drop"))
    names = _apart([photo.target for photo in relabeled], _below(folder))
    lost = _apart([photo.file.relative_to(folder).as_posix() for photo in dropped], _below(aside))
    return [
        *((photo.file, folder / name) for photo, name in zip(relabeled, names, strict=True)),
        *((photo.file, aside / name) for photo, name in zip(dropped, lost, strict=True)),
    ]


def _below(folder: Path) -> list[str]:
    """Return the paths of all files and folders below a folder."""
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*")]


def _layout(rows: Sequence[Any], files: Sequence[Path | None]) -> tuple[dict[str, str], list[str]]:
    """Return the folder of each given class, and each row's path below the folder of its class.

    If the images are not in one folder per class, there are no such folders, and the paths are file names.
    """
    folders: dict[str, str] = {}
    inner = []
    for row, file in zip(rows, files, strict=True):
        top, _, rest = row.id.partition("/")
        fits = file is not None and rest and row.given is not None and file.as_posix().endswith(f"/{row.id}")
        if not fits or folders.setdefault(row.given, top) != top:
            break
        inner.append(rest)
    if len(inner) == len(rows) and len(set(folders.values())) == len(folders):
        return folders, inner
    return {}, [file.name if file else "" for file in files]


def _name_folders(folders: dict[str, str], labels: Iterable[str]) -> None:
    """Add a folder name for each class that has no folder yet."""
    taken = {name.casefold() for name in folders.values()}
    for label in dict.fromkeys(labels):
        if label not in folders:
            folders[label] = _free(safe_name(label), "", taken)


def _apart(names: Sequence[str], there: Iterable[str]) -> list[str]:
    """Return names that differ from each other and from existing names, also on file systems that ignore case."""
    taken = {name.casefold() for name in there}
    suffixes = {name: PurePath(name).suffix for name in names}
    return [_free(name.removesuffix(suffixes[name]), suffixes[name], taken) for name in names]


def _free(stem: str, suffix: str, taken: set[str]) -> str:
    """Return the first of a.jpg, a-2.jpg, a-3.jpg and so on that is not taken, and add it to the taken names."""
    name, number = stem + suffix, 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem}-{number}{suffix}"
    taken.add(name.casefold())
    return name


def safe_name(label: str) -> str:
    """Return a class name as a folder name that is valid on every system and never leaves its parent folder."""
    name = "".join(c if c.isprintable() and c not in '<>:"/\\|?*' else "_" for c in label).strip().rstrip(".")
    name = name.encode("utf-8")[:200].decode("utf-8", "ignore").rstrip(". ")
    return f"_{name}" if not name or name.startswith(".") or _RESERVED.fullmatch(name) else name
