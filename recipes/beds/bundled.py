"""Beds of the development classes with the bundled model: features of photographs that no bundled model has seen."""

from pathlib import Path

import numpy as np

from beds.bed import Images
from develop import unpack
from srrs import pipeline
from srrs.config import Settings
from srrs.data.samples import checked, read
from srrs.tuners.prompt import zero_shot_weights

STRONG, WEAK = 0.5, 0.6
"""How far features are moved to the mean of their class, and how much noise is added in standard deviations."""


def encoded(data: Path, work: Path) -> dict[str, np.ndarray]:
    """Features, labels, class vectors and logit scale of all development photographs, encoded once."""
    file = work / "development.npz"
    if not file.exists():
        unpack(data, work / "development")
        samples = checked(read(work / "development"))
        models = pipeline.load_models(Settings.of(model="bundled", matcher="none"))
        rows = pipeline.trainable_rows(samples)
        features = pipeline.encode_rows(samples, rows, models.image, views=0, seed=0)
        assert models.text is not None
        np.savez(
            file,
            features=np.asarray(features.plain, np.float32),
            labels=np.asarray(samples.labels)[rows],
            vectors=zero_shot_weights(models.text, samples.class_names).cpu().numpy(),
            scale=models.logit_scale,
        )
    with np.load(file) as arrays:
        return dict(arrays)


def bundled(arrays: dict[str, np.ndarray], seed: int, shots: int, classes: int, kind: str = "plain") -> Images:
    """Some of the classes, `shots` photographs of each; `kind` is plain, strong or weak features."""
    x, y, rng = arrays["features"], arrays["labels"], np.random.default_rng(seed)
    every = len(arrays["vectors"])
    chosen = rng.permutation(every)[:classes]
    number = np.full(every, -1)
    number[chosen] = np.arange(classes)
    means = np.stack([x[y == k].mean(0) for k in range(every)])
    if kind == "strong":
        x = x + STRONG * (means[y] - x)
    if kind == "weak":
        spread = WEAK * np.sqrt(((x - means[y]) ** 2).sum(1).mean() / x.shape[1])
        x = x + spread * rng.standard_normal(x.shape)
    x = np.float32(x / np.linalg.norm(x, axis=1, keepdims=True))
    rows = np.concatenate([rng.permutation(np.flatnonzero(y == k))[:shots] for k in chosen])
    strangers = rng.permutation(np.flatnonzero(number[y] < 0))[: len(rows)]
    return Images(x[rows], number[y[rows]], arrays["vectors"][chosen], float(arrays["scale"]), x[strangers])
