"""Makes features, view sources and training tasks from samples."""

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
    """Return the usable rows with a label, in the order of their content keys.

    Because of this order, results do not depend on the order of the rows. Raises DataError if fewer than two classes
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
    """Return the rows whose image can be opened, with or without a label."""
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
    """Encode the rows, and return their features.

    `max_minutes` limits the time for augmented views. `elsewhere` is a cluster that encodes. See `srrs.features.store`
    for the other arguments. Raises SettingsError if there is no image tower.
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
    """Return a function to ask before each augmented view: would the view end after the limit?"""
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
    """Write `features.safetensors` and `samples.csv`, which have the same rows. Return the paths of the files.

    The features are plain (n, D) and views (n, V, D) in float16. With `part` (`--shard`), the names of the files
    contain the number of the part.
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
    """Return the features of the rows. If the request has no features, the images are encoded.

    With live crops, only the plain view is encoded.
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
    """Return the view source of the rows: cached features, or live crops."""
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
    """Return the training task of the rows. `progress` is called while the matcher encodes images."""
    match = None
    if models.matcher is not None:
        match = match_scores(samples, rows, models.matcher, descriptions, settings.model.match_by, progress)
    return Task(models, samples.class_names, descriptions, source, np.asarray(samples.labels)[rows], match)
