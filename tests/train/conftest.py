"""A small task on a tiny model, with features drawn rather than encoded."""

from pathlib import Path

import numpy as np
import pytest
from srrs.train.task import Task

from srrs.models.base import VisionLanguage
from srrs.models.hub import load_model

NAMES = ("cat", "dog", "sea horse")


@pytest.fixture(scope="session")
def model(clip_folder: Path) -> VisionLanguage:
    return load_model(str(clip_folder), device="cpu")


@pytest.fixture(scope="session")
def task(model: VisionLanguage) -> Task:
    """24 samples of three clusters with two augmented views; some labels are wrong, and a matcher has its doubts."""
    generator = np.random.default_rng(0)
    classes = np.arange(24) % 3
    centres = generator.standard_normal((3, model.feature_size))
    views = centres[classes][:, None] + generator.standard_normal((24, 3, model.feature_size))
    views = (views / np.linalg.norm(views, axis=2, keepdims=True)).astype(np.float32)
    scores = generator.random((24, 3))
    return Task(
        model=model,
        class_names=NAMES,
        descriptions=("a tail", "two legs", None),
        ids=tuple(f"{i}.jpg" for i in range(24)),
        labels=np.where(np.arange(24) % 5 == 0, (classes + 1) % 3, classes),
        plain=views[:, 0],
        views=views[:, 1:],
        match=lambda rows, picked: scores[rows, picked],
    )
