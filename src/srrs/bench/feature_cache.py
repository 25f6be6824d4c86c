"""The features that all runs of a grid share. They are encoded once, in a folder that all processes and nodes can read.

N training images of the cache, T test images, V augmented views, D feature size, C classes.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file

from srrs import checksum, pipeline, tuning
from srrs.config import FIT_VIEWS, Settings
from srrs.data.inputs import Inputs
from srrs.data.published.base import DataSet, Split
from srrs.data.samples import NO_LABEL, Progress, Samples, checked, from_paths
from srrs.errors import DataError
from srrs.features.cached import CachedFeatures
from srrs.features.store import Elsewhere
from srrs.io import atomic_folder, save_tensors, write_atomic
from srrs.models.base import NO_MODEL, ClassVectors, Models
from srrs.models.device import choose_device
from srrs.models.matcher import MemoizedScores
from srrs.records import Features, Floats, Ints, Keys
from srrs.tuning import Task

_LOG = logging.getLogger(__name__)
VIEW_SEED = 1
"""Seed of the augmented views. It is the same for all runs, so that views are encoded only once."""
NAME, CLASSES = "about.json", "classes.safetensors"
"""File names of the description of the cache, and of the class vectors if there are any."""
MOST_SCORES = 1_000_000
"""Up to this number of (image, class) pairs, the matcher scores of all pairs are computed once for all runs."""


@dataclass(frozen=True)
class FeatureCache:
    """The cached features of a dataset."""

    folder: Path
    """Folder of the cache."""

    @cached_property
    def about(self) -> dict[str, Any]:
        """Return the content of `about.json`: class names, paths of the training images, models and views."""
        about: dict[str, Any] = json.loads((self.folder / NAME).read_text(encoding="utf-8"))
        return about

    @property
    def digest(self) -> str:
        """Return a digest of the dataset, its test images, the models and the views.

        It does not depend on the choice of training images for the cache.
        """
        return str(self.about["digest"])

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Return the class names (C,)."""
        return tuple(self.about["class_names"])

    @cached_property
    def place(self) -> dict[str, int]:
        """Return the position of each training image in the cache, by its path in the split file."""
        return {path: number for number, path in enumerate(self.about["paths"])}

    @cached_property
    def train(self) -> dict[str, Floats]:
        """Return the arrays of the training images: `plain` (N, D) and `views` (N, V, D) features, and `keys` (N,).

        The keys are the content keys of the images.
        """
        arrays: dict[str, Floats] = load_file(self.folder / "train.safetensors")
        return arrays

    @cached_property
    def test(self) -> tuple[torch.Tensor, Ints]:
        """Return the features (T, D) of the test images, in float32, and their class numbers (T,)."""
        arrays = load_file(self.folder / "test.safetensors")
        return torch.from_numpy(arrays["plain"].astype(np.float32)), arrays["labels"]

    def models(self, settings: Settings) -> Models:
        """Return the models that the settings name; without a model, a `Models` with the class vectors of the cache."""
        if settings.model.name != NO_MODEL:
            return pipeline.load_models(settings)
        vectors = None
        if (self.folder / CLASSES).exists():
            held = {name: torch.from_numpy(array) for name, array in load_file(self.folder / CLASSES).items()}
            vectors = ClassVectors(held.get("plain"), held.get("described"))
        about = self.about["embedded"]
        return Models.without_towers(
            about["size"], vectors, logit_scale=about["logit_scale"], fingerprint=self.about["model"],
            device=choose_device(settings.model.device),
        )  # fmt: skip

    def task(self, paths: Sequence[str], labels: Ints, models: Models, settings: Settings) -> Task:
        """Return the training task of a run: the images at `paths` with their given labels, in this order.

        Parameters
        ----------
        paths : the images of the run, by their paths in the split file.
        labels : (len(paths),) their given labels.
        models : the result of `models`.
        settings : the settings of the run.
        """
        rows = np.array([self.place[path] for path in paths])
        clauses: tuple[str | None, ...] = tuple(self.about["descriptions"])
        match = None
        if models.matcher is not None:
            held, kind = load_file(self.folder / "matcher.safetensors"), settings.model.match_by
            texts = tuning.match_texts(self.class_names, clauses)
            match = MemoizedScores(models.matcher, torch.from_numpy(held["states"][rows]), texts, kind=kind)
            if kind == "itm" and "scores" in held:
                match.know(held["scores"][rows])
        features = Features(self.train["plain"], self.train["views"], rows)
        source = CachedFeatures(features, _apart(self.train["keys"][rows], labels), models.device)
        return Task(models, self.class_names, clauses, source, labels, match)


def make_cache(
    dataset: DataSet,
    rows: Ints,
    models: Models,
    settings: Settings,
    folder: Path,
    *,
    given: Inputs | None = None,
    progress: Progress | None = None,
    elsewhere: Elsewhere | None = None,
) -> FeatureCache:
    """Encode training and test images, write their features below `folder`, and return the cache.

    Features that exist already are not encoded again.

    Parameters
    ----------
    dataset : the dataset.
    rows : positions of the images in the training split that the cache needs.
    models, settings : the models and the settings of the grid.
    folder : the folder that contains the caches of the grid.
    given : features that the user gave, with the paths of the dataset as ids. Then no image is encoded.
    progress : called as images are encoded.
    elsewhere : function that encodes on a cluster, see `srrs.features.store`.

    Raises
    ------
    DataError
        An image cannot be read.
    """
    train = dataset.train.take(np.sort(rows))
    descriptions, _ = tuning.describe(dataset.class_names, None)
    about = {
        "dataset": dataset.name,
        "class_names": list(dataset.class_names),
        "descriptions": list(descriptions),
        "model": models.fingerprint,
        "matcher": models.matcher.fingerprint if models.matcher else "none",
        "views": settings.views(FIT_VIEWS),
        "view_seed": VIEW_SEED,
    }
    if given is not None:
        about["embedded"] = {"size": models.feature_size, "logit_scale": models.logit_scale}
        about["features"] = hashlib.sha256(b"".join(map(str.encode, given.samples.keys))).hexdigest()[:16]
    about["digest"] = _digest(about, dataset.test.paths)
    about["paths"] = list(train.paths)
    target = folder / _digest(about)
    if _is_whole(target):
        return FeatureCache(target)
    with atomic_folder(target) as making:
        if given is None:
            _encode(making, about, train.files, dataset, models, settings, progress, elsewhere)
        else:
            _copy(making, train, dataset.test, given, models, settings)
        write_atomic(making / NAME, json.dumps(about).encode())
    return FeatureCache(target)


def _is_whole(folder: Path) -> bool:
    """Return whether the cache exists and its checksums are correct. Remove a damaged cache, with a warning."""
    if not folder.exists():
        return False
    try:
        json.loads((folder / NAME).read_text(encoding="utf-8"))
        if all(checksum.is_whole(path) for path in folder.glob("*.safetensors")):
            return True
    except (OSError, ValueError):
        pass
    _LOG.warning("The cached features in %s are damaged: they are made again.", folder)
    shutil.rmtree(folder, ignore_errors=True)
    return False


def _copy(folder: Path, train: Split, test: Split, given: Inputs, models: Models, settings: Settings) -> None:
    """Write the features that the user gave, and the class vectors if there are any."""
    assert given.features is not None
    place = {id: row for row, id in enumerate(given.samples.ids)}
    rows, held_out = (np.array([place[path] for path in split.paths]) for split in (train, test))
    plain, views = given.features.take(rows, settings.views(FIT_VIEWS)).rows(slice(None))
    keys = given.samples.content_keys[rows]
    save_tensors(folder / "train.safetensors", {"plain": _halves(plain), "views": _halves(views), "keys": keys})
    seen, _ = given.features.take(held_out, 0).rows(slice(None))
    save_tensors(folder / "test.safetensors", {"plain": _halves(seen), "labels": np.asarray(test.labels, np.int64)})
    if models.class_vectors is not None:
        vectors = {"plain": models.class_vectors.plain, "described": models.class_vectors.described}
        save_tensors(folder / CLASSES, {name: v.cpu().numpy() for name, v in vectors.items() if v is not None})


def _halves(array: Floats) -> Floats:
    """Return the array in contiguous memory, as safetensors require."""
    return np.ascontiguousarray(array)


def _encode(
    folder: Path,
    about: dict[str, Any],
    files: Sequence[Path],
    dataset: DataSet,
    models: Models,
    settings: Settings,
    progress: Progress | None,
    elsewhere: Elsewhere | None,
) -> None:
    """Encode the training images (`files`) and the test images with the models, and write the arrays of the cache."""
    samples = _readable(files, "training")
    every = np.arange(len(samples))
    views = settings.views(FIT_VIEWS)
    encode = partial(pipeline.encode_rows, tower=models.image, seed=VIEW_SEED, elsewhere=elsewhere)
    features = encode(samples, every, views=views, progress=progress)
    arrays = {"plain": np.ascontiguousarray(features.plain), "views": np.ascontiguousarray(features.views)}
    save_tensors(folder / "train.safetensors", {**arrays, "keys": samples.content_keys})
    held_out = _readable(dataset.test.files, "test")
    plain = encode(held_out, np.arange(len(held_out)), views=0).plain
    labels = np.asarray(dataset.test.labels, np.int64)
    save_tensors(folder / "test.safetensors", {"plain": np.ascontiguousarray(plain), "labels": labels})
    if models.matcher is not None:
        states = tuning.matcher_states(samples, every, models.matcher)
        texts = tuning.match_texts(dataset.class_names, about["descriptions"])
        held = {"states": states.numpy()}
        if len(samples) * len(texts) <= MOST_SCORES:
            every_pair = np.divmod(np.arange(len(samples) * len(texts)), len(texts))
            held["scores"] = MemoizedScores(models.matcher, states, texts)(*every_pair).reshape(-1, len(texts))
        save_tensors(folder / "matcher.safetensors", held)


def _digest(*parts: object) -> str:
    """Return 16 hex digits of the SHA-256 hash of some JSON values."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _readable(files: Sequence[Path], part: str) -> Samples:
    """Return the samples of some image files. Raises DataError if one cannot be read; `part` is for the message."""
    samples = checked(from_paths(files, labeled=False))
    broken = [row for row, issue in enumerate(samples.issues) if issue not in ("", NO_LABEL)]
    if broken:
        named = ", ".join(f"'{samples.paths[row]}' ({samples.issues[row]})" for row in broken[:3])
        raise DataError(
            f"Expected {part} images that can be read, but {len(broken)} of {len(files)} cannot: {named}. "
            "Download them again."
        )
    return samples


def _apart(keys: Keys, labels: Ints) -> Keys:
    """Return content keys that are unique. Of equal images, the keys are counted up in the order of their labels.

    The published lists may contain an image several times.
    """
    apart, order = np.array(keys), np.lexsort((labels, keys))
    repeated = np.flatnonzero(keys[order][1:] == keys[order][:-1]) + 1
    for at in repeated:
        apart[order[at]] = apart[order[at - 1]] + np.uint64(1)
    return apart
