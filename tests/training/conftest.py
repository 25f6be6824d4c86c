"""A small task on a tiny model, with features drawn rather than encoded."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from srrs.features.cached import CachedFeatures
from srrs.models.base import Models, VisionLanguage
from srrs.models.hub import load_model
from srrs.records import Features
from srrs.tuning import Task

NAMES = ("cat", "dog", "sea horse")


@pytest.fixture(scope="session")
def model(clip_folder: Path) -> VisionLanguage:
    return load_model(str(clip_folder), device="cpu")


@pytest.fixture(scope="session")
def task(model: VisionLanguage) -> Task:
    """24 samples of three clusters with two augmented views; some labels are wrong, and a matcher has its doubts."""
    generator = np.random.default_rng(0)
    classes = np.arange(24) % 3
    centers = generator.standard_normal((3, model.feature_size))
    views = centers[classes][:, None] + generator.standard_normal((24, 3, model.feature_size))
    views = (views / np.linalg.norm(views, axis=2, keepdims=True)).astype(np.float32)
    scores = generator.random((24, 3))
    keys = np.sort(generator.integers(0, 2**64, 24, dtype=np.uint64))
    return Task(
        models=Models.of(model),
        class_names=NAMES,
        descriptions=("a tail", "two legs", None),
        source=CachedFeatures(Features(views[:, 0], views[:, 1:]), keys),
        labels=np.where(np.arange(24) % 5 == 0, (classes + 1) % 3, classes),
        match=lambda rows, picked: scores[rows, picked],
    )


@pytest.fixture(scope="session")
def taken() -> Callable[..., Task]:
    """`(task, rows, views)`: some rows of a task in a new order, with at most so many augmented views."""

    def take(task: Task, rows: np.ndarray, views: int | None = None) -> Task:
        match, features = task.match, task.source.features.take(rows, views)
        return replace(
            task,
            source=CachedFeatures(features, task.source.keys[rows]),
            labels=task.labels[rows],
            match=match and (lambda at, picked: match(rows[at], picked)),
        )

    return take
