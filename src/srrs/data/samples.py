"""Functions that read the user's dataset: folder, table, DataFrame, Hugging Face dataset, image or list."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from srrs.cluster import Spread
from srrs.data.archives import find_shards, holds_images, shard_samples
from srrs.data.classes import looks_like_codes
from srrs.data.folders import is_picture
from srrs.data.images import WORKERS, inspect, quiet
from srrs.data.options import ReadKeywords, ReadOptions
from srrs.data.pictures import Picture
from srrs.data.readers import (
    csv_samples,
    folder_samples,
    frame_samples,
    from_csv,
    from_folder,
    from_frame,
    from_paths,
    from_table,
    label_key,
    list_samples,
    table_samples,
)
from srrs.data.remote import is_remote, remote_samples
from srrs.data.rows import NO_LABEL, Samples
from srrs.data.tables import TABLES
from srrs.errors import DataError
from srrs.io import Progress, there

__all__ = [
    "NO_LABEL", "Progress", "ReadOptions", "Samples", "checked", "from_csv", "from_folder", "from_frame", "from_paths",
    "from_table", "label_key", "looks_like_codes", "read", "read_source",
]  # fmt: skip

TOGETHER = 1_024
"""Number of images that one task on a cluster opens."""


def read(source: Any, labels: Sequence[Any] | None = None, **keywords: Unpack[ReadKeywords]) -> Samples:
    """Read a folder, a table, a DataFrame, a Hugging Face dataset, one image or a list of images, in the user's order.

    Parameters
    ----------
    source : the source. The entries of a list are paths, Pillow images or arrays.
    labels : labels of a list.
    keywords : the fields of `ReadOptions`, such as `label_column`, `names` or `class_names`.

    Raises
    ------
    DataError
        The source is missing, empty or of an unknown kind, or a required column is missing.
    MissingExtraError
        The source is a parquet file or a stored dataset, and the package that reads it is not installed.
    TypeError
        A keyword is unknown. The message names the most similar known keyword.
    """
    return read_source(source, labels, ReadOptions.of("read", **keywords))


def read_source(source: Any, labels: Sequence[Any] | None, options: ReadOptions) -> Samples:
    """Read a source as `read` does, with the keywords as a record."""
    from srrs.data import hf

    if hf.is_dataset(source):
        return table_samples(hf.columns_of(source, options), hf.renamed(options), "the dataset")
    if hasattr(source, "columns"):
        return frame_samples(source, options)
    if isinstance(source, Mapping):
        raise DataError(f"Expected one table or dataset, but found {', '.join(map(str, source))}: give one of them.")
    if hasattr(source, "getexif") or getattr(source, "ndim", 0) in (2, 3):  # one image
        return list_samples([source], labels, options)
    if not isinstance(source, str | os.PathLike):
        return list_samples(source, labels, options)
    if is_remote(source):
        return remote_samples(str(source), options)
    path = Path(source)
    wanted = f"Expected a folder of images, a stored dataset, a tar file or a table ({', '.join(TABLES)}) at {path}"
    if not there(path):
        raise DataError(f"{wanted}, but found nothing there.")
    if hf.is_saved(path):
        return table_samples(hf.columns_of(hf.load(path), options), hf.renamed(options), str(path))
    shards = find_shards(path) if path.is_dir() else [path] if path.suffix.lower() == ".tar" else []
    if shards or holds_images(path, options):
        return shard_samples(shards or [path], options, str(path))
    if path.is_dir():
        return folder_samples(path, options)
    if path.suffix.lower() in TABLES:
        return csv_samples(path, options)
    if path.is_file() and is_picture(path.name):
        if options.labeled and labels is None:
            raise DataError(
                f"Expected a folder of images, one subfolder per class, or a table of them, but {path} is a single "
                "image. Give the folder that holds its class."
            )
        return list_samples([path], labels, options)
    raise DataError(f"{wanted}, but found a file of another kind.")


def checked(samples: Samples, progress: Progress | None = None, spread: Spread | None = None) -> Samples:
    """Open each image once, in threads or on a cluster (`spread`), and return the samples with `keys` and `issues`.

    For an object with several images, only the images that can be opened are kept. Its row has an issue if no image can
    be opened. `progress` is called with the number of opened images and their total.
    """
    shown = [[picture for _, picture in samples.pictures(row)] for row in range(len(samples))]
    total = sum(map(len, shown))
    found: list[tuple[str, str]] = []
    for outcomes in _inspected([picture for pictures in shown for picture in pictures], spread):
        found += outcomes
        if progress:
            progress(len(found), total)
    opened = iter(found)
    paths, keys, issues, others = [], [], [], []
    for row, pictures in enumerate(shown):
        here = [(key, picture, issue) for picture, (key, issue) in zip(pictures, opened, strict=False)]
        good = [entry for entry in here if not entry[2]] or here[:1]
        key, picture, issue = good[0]
        paths.append(picture)
        keys.append(key)
        issues.append(issue or (NO_LABEL if samples.issues[row] == NO_LABEL else ""))
        others.append(tuple((key, picture) for key, picture, _ in good[1:]))
    lost = total - len(samples) - sum(map(len, others))
    notes = (f"{lost} images of objects cannot be read: the others of each stand for it.",) if lost else ()
    return replace(
        samples, paths=tuple(paths), keys=tuple(keys), issues=tuple(issues), notes=samples.notes + notes,
        others=tuple(others) if samples.others else (),
    )  # fmt: skip


def _inspected(pictures: Sequence[Picture], spread: Spread | None) -> Iterator[Sequence[tuple[str, str]]]:
    """Yield the content digest and the problem of each image, in order, some images at a time."""
    if spread is None:
        with quiet(), ThreadPoolExecutor(WORKERS) as pool:
            yield from ([outcome] for outcome in pool.map(inspect, pictures))
        return
    parts = [pictures[start : start + TOGETHER] for start in range(0, len(pictures), TOGETHER)]
    waiting: dict[int, list[tuple[str, str]]] = {}
    following = 0
    for at, outcomes in spread(_inspect_all, parts):
        waiting[at] = outcomes
        while following in waiting:
            yield waiting.pop(following)
            following += 1


def _inspect_all(pictures: Sequence[Picture]) -> list[tuple[str, str]]:
    """Return the content digest and the problem of each image."""
    with quiet(), ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(inspect, pictures))
