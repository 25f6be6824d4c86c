"""Functions that encode the views that the feature store does not contain, and read all views from it.

Threads open images while the model encodes. n rows of a dataset, V augmented views, D feature size.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from srrs.data.images import WORKERS, digest, open_rgb, quiet
from srrs.data.pictures import Picture
from srrs.data.samples import NO_LABEL, Progress, Samples
from srrs.errors import DataError, ModelError
from srrs.features.crops import view_box
from srrs.features.shard_file import Halves, pack_keys
from srrs.features.shards import FeatureStore, model_folder, trim_features
from srrs.mapped import empty
from srrs.models.base import ImageTower
from srrs.records import Features, Floats

PLAIN = -1
"""Number of the plain view. The augmented views have the numbers 0, 1, ..."""
Job = list[tuple[int, list[str]]]
"""One batch of images: pairs of a view and the keys of the images that are encoded in this view."""
T = TypeVar("T")


def encode(
    samples: Samples,
    rows: Sequence[int] | np.ndarray,
    model: ImageTower,
    views: int = 0,
    seed: int = 0,
    cache: Path | None = None,
    progress: Progress | None = None,
    batch: int = 64,
    deadline: Callable[[], bool] | None = None,
    elsewhere: "Elsewhere | None" = None,
) -> Features:
    """Return the features of the plain view (n, D) and of `views` augmented views (n, V, D), in the order of `rows`.

    Images with the same content are encoded once, and features in the cache are not encoded again. For a row with
    several images, the feature of a view is the mean of the features of its images, scaled to unit length.

    Parameters
    ----------
    samples : samples from `checked`.
    rows : (n,) rows of the dataset to encode, with or without a label. Their images must be usable.
    model : the image tower.
    views : number of augmented views.
    seed : seed of the crops.
    cache : folder such as `cache_root()`; None keeps features in memory.
    progress : function that is called with the number of encoded views of images and their total.
    batch : number of images per encoding pass.
    deadline : function that is called before each augmented view. After it has returned True, no more views are
        encoded, so the result may have fewer views. With a deadline, the views are encoded one after the other, and
        every view opens the images again. The features do not depend on this.
    elsewhere : function that encodes outside this process, with identical features; see `srrs.features.tasks`. It needs
        a cache.

    Raises
    ------
    DataError
        An image is unusable or has changed since it was checked, or the cache cannot be written.
    ModelError
        The model returns numbers that are not finite.
    """
    for row in rows:
        issue = samples.issues[row]
        if not samples.keys[row] or issue not in ("", NO_LABEL):
            raise DataError(
                f"Expected rows with a readable image, but '{samples.ids[row]}' has an issue: {issue or 'unchecked'}."
            )
    shown = [sorted(samples.pictures(row), key=lambda picture: picture[0]) for row in rows]
    paths = {key: picture for pictures in shown for key, picture in pictures}
    order = sorted(paths)
    folder = model_folder(cache, description(model)) if cache is not None else None
    run = Run(model, FeatureStore(folder, model.feature_size), paths, seed, len(order) * (1 + views), progress)
    every = range(PLAIN, views)
    done: list[int] = []
    try:
        for group in [[view] for view in every] if deadline else [list(every)]:
            jobs = run.plan(order, group, batch)
            if deadline and done and jobs and deadline():
                break
            if elsewhere is None:
                run.work(jobs)
            else:
                run.hand_out(jobs, elsewhere)
            done += group
    finally:
        run.store.flush()
    features = run.gather([key for pictures in shown for key, _ in pictures], len(done) - 1)
    if cache is not None and folder is not None:
        trim_features(cache, folder)
    return _averaged(features, [len(pictures) for pictures in shown])


def _averaged(features: Features, counts: Sequence[int]) -> Features:
    """Return the features of rows, from those of their images. Row i has `counts[i]` consecutive images."""
    if all(count == 1 for count in counts):
        return features
    starts = np.cumsum([0, *counts[:-1]])

    def mean(parts: Floats) -> Halves:
        sums = np.add.reduceat(parts.astype(np.float32), starts, axis=0)
        unit: Halves = (sums / np.linalg.norm(sums, axis=-1, keepdims=True).clip(1e-12)).astype(np.float16)
        return unit

    return Features(mean(features.plain), mean(features.views))


@dataclass
class Run:
    """The state of one call of `encode`."""

    model: ImageTower
    store: FeatureStore
    paths: dict[str, Picture]
    """The images by key."""
    seed: int
    """Seed of the crops."""
    total: int
    """Number of views of images of the run."""
    progress: Progress | None
    done: int = 0
    """Number of views of images that are stored."""

    def plan(self, order: list[str], views: list[int], batch: int) -> list[Job]:
        """Return the batches with images that the store does not contain.

        The batches are made from all keys (`order`), so the batch of an image does not depend on the content of the
        store.
        """
        packed = pack_keys(order)
        missing = {view: self.store.missing(self.name(view), packed) for view in views}
        self._advance(sum(int((~lacks).sum()) for lacks in missing.values()))
        jobs = []
        for start in range(0, len(order), batch):
            block = range(start, min(start + batch, len(order)))
            job = [(view, [order[at] for at in block if lacks[at]]) for view, lacks in missing.items()]
            jobs.append([(view, keys) for view, keys in job if keys])
        return [job for job in jobs if job]

    def work(self, jobs: list[Job]) -> None:
        """Encode the batches. While the model encodes a view, threads open the images of the next view."""
        with quiet(), ThreadPoolExecutor(WORKERS) as pool, ThreadPoolExecutor(1) as ahead:
            for view, keys, pixels in _ahead(self._pixels(jobs, pool), ahead):
                with torch.inference_mode():
                    encoded = self.model.encode_images(pixels.to(self.model.device)).cpu()
                if not torch.isfinite(encoded).all():
                    bad = keys[int((~torch.isfinite(encoded).all(1)).nonzero()[0])]
                    raise ModelError(
                        f"Expected finite features, but the model gives others for {self.paths[bad]}. "
                        "Try it in full precision (float32)."
                    )
                self.store.add(self.name(view), pack_keys(keys), encoded.to(torch.float16).numpy())
                self._advance(len(keys))

    def hand_out(self, jobs: list[Job], elsewhere: "Elsewhere") -> None:
        """Encode the batches outside this process. The results are written to the folder of the store."""
        for count in elsewhere(self, jobs):
            self._advance(count)
        self.store = FeatureStore(self.store.folder, self.store.size)

    def gather(self, keys: list[str], views: int) -> Features:
        """Return the features of the keys from the store, in the order of the keys, with `views` augmented views."""
        packed, size = pack_keys(keys), self.store.size
        plain, crops = (empty(shape, np.float16) for shape in ((len(keys), size), (len(keys), views, size)))
        if keys:
            self.store.gather(self.name(PLAIN), packed, plain)
            for view in range(views):
                self.store.gather(self.name(view), packed, crops[:, view])
        return Features(plain, crops)

    def name(self, view: int) -> str:
        """Return the name of a view in the store."""
        return "plain" if view == PLAIN else f"seed{self.seed}view{view}"

    def _pixels(self, jobs: list[Job], pool: ThreadPoolExecutor) -> Iterator[tuple[int, list[str], Tensor]]:
        """Yield the view, the keys and the pixels (n, 3, H, W) of each view of each batch."""
        at_least = input_size(self.model)
        for job in jobs:
            wanted = sorted({key for _, keys in job for key in keys})
            images = dict(zip(wanted, pool.map(lambda key: self._open(key, at_least), wanted), strict=True))
            for view, keys in job:
                pictures = pool.map(lambda key, view=view, images=images: self._view(images[key], key, view), keys)
                yield view, keys, torch.stack(list(pictures))

    def _open(self, key: str, at_least: int) -> Image.Image:
        """Return the image with this key. Raises DataError if it cannot be read or has changed."""
        path = self.paths[key]
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError(f"Expected the image {path}, but it can no longer be read: {error.strerror}.") from None
        if digest(data) != key:
            raise DataError(f"Expected the image {path} to stay as it was, but it changed during the run. Run again.")
        return open_rgb(data, at_least)

    def _view(self, image: Image.Image, key: str, view: int) -> Tensor:
        """Return the pixels (3, H, W) of a view."""
        if view == PLAIN:
            return self.model.preprocess(image)
        return self.model.preprocess_crop(image, *view_box(key, image.size, view, self.seed))

    def _advance(self, count: int) -> None:
        """Add to the number of stored views of images, and report the progress."""
        self.done += count
        if self.progress and count:
            self.progress(self.done, self.total)


Elsewhere = Callable[[Run, list[Job]], Iterator[int]]
"""Function from a run and its batches to an iterator. It encodes the batches, and yields numbers of encoded views of
images."""


def _ahead(items: Iterable[T], thread: ThreadPoolExecutor) -> Iterator[T]:
    """Yield the items. The next item is computed in the thread while the caller uses the present one."""
    iterator = iter(items)
    coming = thread.submit(next, iterator, None)
    while (item := coming.result()) is not None:
        coming = thread.submit(next, iterator, None)
        yield item


def input_size(model: ImageTower) -> int:
    """Return the longer side of the model's input in pixels. Images are decoded at twice this size or larger."""
    return max(model.preprocess(Image.new("RGB", (64, 64))).shape[-2:])


def description(model: ImageTower) -> dict[str, object]:
    """Return everything that changes the bits of a feature, except the versions of libraries."""
    return {
        "fingerprint": model.fingerprint,
        "preprocessing": model.preprocessing,
        "feature_size": model.feature_size,
        "device": model.device.type,
    }
