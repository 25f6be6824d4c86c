"""Functions that find the images of a folder, and count the files that are not images."""

import os
from collections import Counter
from pathlib import Path

_PHOTOS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".heic", ".heif")
_OTHERS = (".bmp", ".gif", ".ico", ".tif", ".tiff", ".jp2", ".ppm", ".pgm", ".pbm")
EXTENSIONS = frozenset((*_PHOTOS, *_OTHERS))
"""Extensions of images. A file with one of these extensions becomes a row, even if its content is not an image."""
SPLITS = frozenset(("train", "test", "val", "valid", "validation", "dev", "eval"))
"""Names of folders that are splits of a dataset rather than classes."""


def find_pictures(root: Path) -> tuple[list[Path], tuple[str, ...]]:
    """Return the sorted files with an image's extension below a folder, and notes on the files that were left out.

    The folders directly below `root` may be links. Other links to folders are not followed.
    """
    found, hidden, others = [], 0, Counter[str]()
    top = sorted(path for path in root.iterdir() if path.is_dir() and not _hidden(path.name))
    for start in (root, *top):  # a class folder may be a link, which os.walk would not follow
        for folder, folders, files in os.walk(start):
            folders[:] = [] if start == root else [name for name in folders if not _hidden(name)]
            for name in files:
                if _hidden(name):
                    hidden += 1
                elif is_picture(name):
                    found.append(Path(folder, name))
                else:
                    others[Path(name).suffix.lower() or "without extension"] += 1
    found.sort(key=lambda path: path.relative_to(root).parts)
    notes = [f"Hidden files were left out: {hidden}."] if hidden else []
    if others:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
        notes.append(f"Files that are not images were left out: {kinds}.")
    used = {path.relative_to(root).parts[0] for path in found}
    if empty := [path.name for path in top if path.name not in used]:
        notes.append(f"Folders without images were left out: {', '.join(empty)}.")
    return found, tuple(notes)


def is_picture(name: str) -> bool:
    """Return whether a file name has an image's extension."""
    return Path(name).suffix.lower() in EXTENSIONS


def _hidden(name: str) -> bool:
    """Return whether a file or folder is hidden."""
    return name.startswith(".") or name == "__MACOSX"
