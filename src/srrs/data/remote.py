"""Sources behind a URL (s3://, gs://, https://), read by fsspec.

Each file is copied to the cache when it is first read. The name of the copy depends on the size, modification time or
ETag that the server gives for the file. So a file that has changed is copied again.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from srrs.cache import make_room, mark_used
from srrs.data.archives import SHARDS, shard_samples
from srrs.data.arrays import KINDS
from srrs.data.embeddings import is_embeddings
from srrs.data.folders import is_picture
from srrs.data.lance_tables import SUFFIX
from srrs.data.options import ReadOptions
from srrs.data.pictures import Stored
from srrs.data.readers import table_samples, tree_samples
from srrs.data.rows import Samples
from srrs.data.tables import PATH_COLUMNS, TABLES, find_column, read_table, text_of
from srrs.errors import DataError, MissingExtraError
from srrs.io import atomic, cache_root

_URL = re.compile(r"[a-z][a-z0-9+.-]+://")
"""Beginning of a URL."""
EMBEDDED = re.compile(r"(features|samples)(-\d{5}-of-\d{5})?\.(safetensors|csv)")
"""Names of the files that `srrs embed` writes."""
_STATED = ("size", "ETag", "etag", "mtime", "LastModified", "created", "md5Hash")
"""Fields in which servers describe the version of a file."""


def is_remote(source: Any) -> bool:
    """Return whether a source is a URL."""
    return isinstance(source, str) and bool(_URL.match(source))


@dataclass(frozen=True)
class Remote:
    """A file behind a URL."""

    url: str
    stated: str = ""
    """The server's description of the file's version: size, modification time or ETag."""
    together: str = ""
    """Description of the versions of several files whose copies lie in one folder; '' for a file by itself."""

    def __call__(self) -> bytes:
        """Return the bytes, from the copy on this machine."""
        return self.local().read_bytes()

    def local(self) -> Path:
        """Return the copy of the file in the cache. The file is copied if there is no copy."""
        version = self.together or f"{self.url}\0{self.stated}"
        digest = hashlib.sha256(version.encode()).hexdigest()[:32]
        copies = cache_root() / "remote"
        copy = copies / digest / PurePosixPath(self.url).name
        if copy.exists():
            mark_used(copy)
            return copy
        make_room(copies)
        system, path = _system(self.url)
        with atomic(copy) as part, _said_of(self.url):
            system.get_file(path, str(part))
        return copy


def fetched(url: str) -> Path:
    """Return the copy of a file in the cache. The file is copied if there is no copy, or if the file has changed.

    Raises
    ------
    DataError
        The file cannot be read.
    MissingExtraError
        fsspec is not installed.
    """
    return Remote(url, _stated(url)).local()


def fetched_embeddings(url: str) -> Path | None:
    """Return the copy of a file of embeddings, or of a folder that `srrs embed` wrote; None if the URL is neither.

    The errors are those of `fetched`. A Lance dataset behind a URL is a DataError, too.
    """
    kind = PurePosixPath(url).suffix.lower()
    if kind in KINDS:
        file = fetched(url)
        return file if is_embeddings(file) else None
    if kind == SUFFIX:
        raise DataError(f"Expected a Lance dataset on a disk, but {url} is a URL. Copy the folder, and give its path.")
    if kind in (".tar", *TABLES):
        return None
    files = {name: stated for name, stated in _listed(url, deep=False).items() if EMBEDDED.fullmatch(name)}
    if not any(name.endswith(".safetensors") for name in files):
        return None
    together = f"{url.rstrip('/')}\0{sorted(files.items())}"
    copies = [Remote(f"{url.rstrip('/')}/{name}", stated, together).local() for name, stated in files.items()]
    return copies[0].parent


def remote_samples(url: str, options: ReadOptions) -> Samples:
    """Read a folder of class folders, a folder of shards, a shard or a table behind a URL.

    The paths in a table are relative to the folder of the table, or to the URL in the option `images`.

    Raises
    ------
    DataError
        There is nothing at the URL, its content is of another kind, or a path leads outside the folder.
    MissingExtraError
        fsspec is not installed.
    """
    kind = PurePosixPath(url).suffix.lower()
    if kind == ".tar":
        return shard_samples([fetched(url)], options, url)
    if kind in TABLES:
        return _table(url, options)
    files = _listed(url)
    names = sorted(name for name in files if not any(part.startswith(".") for part in name.split("/")))
    if all("/" not in name for name in names):
        for shard in SHARDS:
            if found := [name for name in names if name.lower().endswith(shard)]:
                return shard_samples([_at(url, name, files[name]).local() for name in found], options, url)
    images = [name for name in names if is_picture(name)]
    others = Counter(PurePosixPath(name).suffix.lower() or "without extension" for name in {*names} - {*images})
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
    notes = (f"Files that are not images were left out: {kinds}.",) if kinds else ()
    pictures = [Stored(f"{url}/{name}", _at(url, name, files[name])) for name in images]
    return tree_samples(url.rstrip("/"), [tuple(name.split("/")) for name in images], pictures, notes, options)


def _table(url: str, options: ReadOptions) -> Samples:
    """Read a table behind a URL. Its images are copied when they are opened."""
    table = dict(read_table(fetched(url)))
    base, stated = str(options.images or url.rpartition("/")[0]), _stated(url)
    if options.pictured:
        paths = find_column(table, options.path_column, PATH_COLUMNS, "path", url)
        name = next(name for name in table if table[name] is paths)
        texts = [text_of(path) for path in paths]
        table[name] = [Stored(f"{base}/{text}", _at(base, text, stated)) if text else None for text in texts]
        table.setdefault("id", texts)
    return table_samples(table, options.with_(images=None), url)


def _at(folder: str, name: str, stated: str) -> Remote:
    """Return the file `name` below a folder. Raises DataError for a path that leads outside."""
    # fsspec treats "::" as a chain of file systems
    if is_remote(name) or name.startswith("/") or ".." in PurePosixPath(name).parts or "::" in name:
        raise DataError(f"Expected paths below {folder}, but found '{name}', which leads outside.")
    return Remote(f"{folder.rstrip('/')}/{name}", stated)


def _listed(url: str, deep: bool = True) -> dict[str, str]:
    """Return the files below a folder: their paths from the folder, with the server's description of their versions.

    Without `deep`, files in subfolders are left out.
    """
    system, root = _system(url)
    with _said_of(url):
        found = system.find(root, maxdepth=None if deep else 1, detail=True)
    if not found and deep:
        raise DataError(f"Expected a folder of images or shards, or a table at {url}, but found nothing there.")
    start = len(str(root).rstrip("/")) + 1
    return {name[start:]: _words(info) for name, info in found.items()}


def _stated(url: str) -> str:
    """Return the server's description of the version of a file."""
    system, path = _system(url)
    with _said_of(url):
        return _words(system.info(path))


def _words(info: Mapping[str, Any]) -> str:
    """Return the description of a version from the fields that fsspec returns."""
    return " ".join(f"{name}={info[name]}" for name in _STATED if info.get(name) is not None)


def _system(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it. Raises MissingExtraError without fsspec."""
    try:
        import fsspec
    except ImportError:
        raise MissingExtraError("fsspec", "remote", f"Reading {url}") from None
    with _said_of(url):
        system, path = fsspec.core.url_to_fs(url)
    return system, path


@contextmanager
def _said_of(url: str) -> Iterator[None]:
    """Within this block, turn any error of the libraries of storage services into a DataError."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"Expected to read {url}, but could not: {error or type(error).__name__}.") from None
