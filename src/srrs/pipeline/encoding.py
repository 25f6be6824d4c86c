"""Functions that make features, view sources and training tasks from samples.

V augmented views, D feature size. A row is a row of the user's dataset; n is the number of rows in an argument `rows`.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from srrs.config import Settings
from srrs.data.parts import Part
from srrs.data.pictures import file_of
from srrs.data.samples import NO_LABEL, Progress, Samples
from srrs.errors import DataError, SettingsError
from srrs.features.cached import CachedFeatures
from srrs.features.live import LiveImages
from srrs.features.source import ViewSource
from srrs.features.store import Elsewhere, encode
from srrs.io import cache_root, save_tensors, write_atomic
from srrs.models.base import ImageTower, Models
from srrs.pipeline.request import ENCODING, Request, Stages
from srrs.records import Features, Ints
from srrs.tuning import Task, match_scores


def trainable_rows(samples: Samples) -> Ints:
    """Return the usable rows with a label, sorted by content key.

    With this order, results do not depend on the order of the user's rows. Raises DataError if fewer than two classes
    are left.
    """
    usable = np.array([not issue for issue in samples.issues]) & (np.asarray(samples.labels) >= 0)
    order = np.argsort(samples.content_keys, kind="stable")
    rows = order[usable[order]]
    classes = np.unique(samples.labels[rows])
    if len(classes) < 2:
        raise DataError(
            f"Expected usable images of at least two classes, but found {len(rows)} of {len(classes)}; "
            "see the issue of each row, or the folder you named."
        )
    return np.asarray(rows, dtype=np.int64)


def readable_rows(samples: Samples) -> np.ndarray:
    """Return the rows whose image can be read, with or without a label."""
    readable = [r for r in range(len(samples)) if samples.keys[r] and samples.issues[r] in ("", NO_LABEL)]
    return np.array(readable, dtype=np.int64)


def encode_rows(
    samples: Samples,
    rows: Sequence[int] | Ints,
    tower: ImageTower | None,
    *,
    views: int,
    seed: int,
    progress: Progress | None = None,
    max_minutes: float | None = None,
    cache: Path | None = None,
    elsewhere: Elsewhere | None = None,
) -> Features:
    """Return the features of some rows. Features that are not in the cache are encoded.

    Parameters
    ----------
    samples : the samples of all rows.
    rows : (n,) the rows.
    tower : the image tower; None without a model.
    views : number of augmented views of each image.
    seed : seed of the views.
    progress : called as images are encoded.
    max_minutes : time limit for augmented views. Fewer views are returned if encoding takes longer.
    cache : folder of the feature cache; by default the cache folder of the user.
    elsewhere : function that encodes on a cluster, see `srrs.features.store`.

    Raises
    ------
    SettingsError
        There is no image tower.
    DataError
        An image cannot be read, or the cache cannot be written.
    """
    if tower is None:
        raise SettingsError(
            "There is no model to encode images with (--model none): give their embeddings with --features, or the "
            "model that made the embeddings with --model."
        )
    return encode(
        samples, rows, tower, views=views, seed=seed, cache=cache or cache_root(), progress=progress,
        deadline=None if max_minutes is None else _too_late(max_minutes), elsewhere=elsewhere,
    )  # fmt: skip


def _too_late(minutes: float) -> Callable[[], bool]:
    """Return a function that is called before each augmented view, and returns whether the view would end too late.

    The limit begins now. The duration of the view is assumed to be that of the view before.
    """
    before = time.monotonic()
    until = before + minutes * 60

    def asked() -> bool:
        nonlocal before
        now = time.monotonic()
        ends, before = 2 * now - before, now
        return ends > until

    return asked


def write_features(
    out: Path,
    samples: Samples,
    models: Models,
    settings: Settings,
    *,
    progress: Progress | None = None,
    elsewhere: Elsewhere | None = None,
    part: Part | None = None,
) -> list[Path]:
    """Write `features.safetensors` and `samples.csv`, which have the same rows, and return the paths of the files.

    The features are `plain` (n, D) and `views` (n, V, D) in float16, for the n rows that can be used.

    Parameters
    ----------
    out : the folder to write.
    samples : the samples of all rows.
    models : the models, of which the image tower is used.
    settings : the settings, of which the views and the seed are used.
    progress : called as images are encoded.
    elsewhere : function that encodes on a cluster, see `srrs.features.store`.
    part : the part of the dataset that the samples are (`--shard`). The names of the files then contain its number.

    Raises
    ------
    DataError
        No image can be read, or a file cannot be written.
    SettingsError
        There is no image tower.
    """
    rows = samples.usable if len(samples.class_names) else readable_rows(samples)
    if not len(rows) and part is None:
        raise DataError(f"Expected images that can be read, but found none among {len(samples)}.")
    views = settings.data.views or 0
    features = encode_rows(
        samples, rows, models.image, views=views, seed=settings.seed, progress=progress, elsewhere=elsewhere
    )
    out.mkdir(parents=True, exist_ok=True)
    arrays = {"plain": np.ascontiguousarray(features.plain), "views": np.ascontiguousarray(features.views)}
    made_by = {"model": models.fingerprint, "model_name": models.name}
    suffix = part.suffix if part else ""
    if part:
        made_by["part_of_rows"] = str(part.total)
    given = samples.given
    table = pd.DataFrame(
        {
            "id": [samples.ids[r] for r in rows],
            "path": [file_of(samples.paths[r]) for r in rows],
            "label": [given[r] for r in rows],
            "key": [samples.keys[r] for r in rows],
        }
    )
    content = table.to_csv(index=False, lineterminator="\n").encode()
    table_file = write_atomic(out / f"samples{suffix}.csv", content)
    return [save_tensors(out / f"features{suffix}.safetensors", arrays, made_by), table_file]


def features_of(request: Request, samples: Samples, rows: Ints, views: int, stages: Stages | None = None) -> Features:
    """Return the features of the rows: those of the request or, if it has none, newly encoded ones.

    With live crops, only the plain view is encoded. `views` is the number of augmented views. Raises the errors of
    `encode_rows`.
    """
    settings = request.settings
    if request.features is not None:
        return request.features.take(rows, views)
    return encode_rows(
        samples, rows, request.models.image, views=0 if settings.data.live else views, seed=settings.seed,
        progress=stages and stages(ENCODING), max_minutes=request.max_minutes, cache=request.cache,
        elsewhere=request.elsewhere,
    )  # fmt: skip


def view_source(request: Request, samples: Samples, rows: Ints, features: Features) -> ViewSource:
    """Return the view source of the rows: cached features, or live crops.

    `features` are those of the rows. Raises SettingsError for live crops without images or without a model.
    """
    settings, models = request.settings, request.models
    cached = CachedFeatures(features, samples.content_keys[rows], models.device)
    if not settings.data.live:
        return cached
    if models.image is None or request.features is not None:
        raise SettingsError("Live views need images and a model: leave out --features, or set live=false.")
    return LiveImages(cached, [samples.pictures(row) for row in rows], models.image, settings.seed)


def make_task(
    samples: Samples,
    rows: Ints,
    source: ViewSource,
    models: Models,
    descriptions: tuple[str | None, ...],
    settings: Settings,
    progress: Progress | None = None,
) -> Task:
    """Return the training task of the rows.

    Parameters
    ----------
    samples : the samples of all rows.
    rows : (N,) the rows.
    source : the view source of the rows.
    models : the models.
    descriptions : (C,) the description of each class; None for a class without one.
    settings : the settings of the run.
    progress : called while the matcher encodes images.
    """
    match = None
    if models.matcher is not None:
        match = match_scores(samples, rows, models.matcher, descriptions, settings.model.match_by, progress)
    return Task(models, samples.class_names, descriptions, source, np.asarray(samples.labels)[rows], match)
