"""The figures of the model card, on the demo's photographs: `python recipes/measure.py`."""

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from srrs import demo, tuning
from srrs.config import Settings
from srrs.console import Console
from srrs.core.noise import NoiseSpec
from srrs.data.images import open_rgb
from srrs.data.samples import checked, read
from srrs.prompts.templates import MACRO


def main() -> None:
    photos, settings = Path(str(files("srrs") / "assets" / "photos")), Settings.of(model="bundled")
    train, test = checked(read(photos / "train")), checked(read(photos / "test"))
    prepared = demo.prepare(train, test, settings, Console())
    task, truth = demo.task_of(prepared), prepared.truth[prepared.rows]
    every = np.tile(np.arange(1 + task.source.augmented), (len(truth), 1))
    views = task.source.batch(np.arange(len(truth)), every).features
    probe = LogisticRegression(C=10, max_iter=2000).fit(views.numpy(), np.repeat(truth, every.shape[1]))
    figures = {"linear_probe": probe.score(prepared.test_features.numpy(), prepared.test_labels)}
    for name, noise in (("zero-shot", "sym:0"), ("coop", "sym:0"), ("coop", "sym:0.75"), ("coop", "pair:0.5")):
        noisy = demo.with_noise(train, NoiseSpec.parse(noise), 1)
        given = task.relabeled(np.asarray(noisy.labels)[prepared.rows])
        tuned = tuning.tune_task(given, settings.with_(method=name))
        figures[f"{name} at {noise}"] = float(demo.measure(tuned, prepared).correct.mean())
    matcher = task.models.matcher
    if matcher is not None:
        texts = [MACRO.text(n) for n in test.class_names]
        states = matcher.encode_images([open_rgb(p) for p in test.paths])
        wrong = (test.labels + np.random.default_rng(0).integers(1, len(texts), len(test))) % len(texts)
        rows = torch.arange(len(test))
        right_scores = matcher.scores(states, texts, rows, torch.from_numpy(test.labels)).numpy()
        wrong_scores = matcher.scores(states, texts, rows, torch.from_numpy(wrong)).numpy()
        figures["matcher, balanced pairs"] = float(((right_scores > 0.5).mean() + (wrong_scores <= 0.5).mean()) / 2)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
