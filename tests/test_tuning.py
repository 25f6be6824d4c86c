"""What is tuned on, and how a run is known again."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from srrs.training.task import Task

from srrs import pipeline, tuning
from srrs.config import Settings
from srrs.data.samples import Samples, checked, read


@pytest.fixture(scope="module")
def settings(clip_folder: Path) -> Settings:
    return Settings.of(model=str(clip_folder), matcher="none", method="coop", device="cpu", steps=4, views=1)


@pytest.fixture(scope="module")
def samples(photos: Path) -> Samples:
    return checked(read(photos))


@pytest.fixture(scope="module")
def task(samples: Samples, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Task:
    models, rows = pipeline.load_models(settings), pipeline.trainable_rows(samples)
    features = pipeline.encode_rows(samples, rows, models, settings, views=1, cache=tmp_path_factory.mktemp("cache"))
    return tuning.make_task(samples, rows, features, models, (None,) * len(samples.class_names))


def test_the_matcher_is_asked_about_each_rows_own_picture(samples, settings, blip_folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(tuning, "MATCHER_BATCH", 7)
    matcher = pipeline.load_models(settings.with_(matcher=str(blip_folder))).matcher
    rows = pipeline.trainable_rows(samples)
    scores = tuning.match_scores(samples, rows, matcher, (None, "two legs", None))
    some = scores(np.array([2, 11]), np.array([1, 0]))
    alone = tuning.match_scores(samples, rows[[2, 11]], matcher, (None, "two legs", None))
    np.testing.assert_allclose(some, alone(np.array([0, 1]), np.array([1, 0])), atol=1e-4)


def test_a_run_is_known_by_all_that_changes_it(task: Task, settings: Settings, monkeypatch) -> None:
    first = tuning.run_fingerprint(task, settings)
    assert first == tuning.run_fingerprint(replace(task), settings.with_())
    others = [
        (tuning.relabelled(task, np.roll(task.labels, 1)), settings),
        (replace(task, views=task.views[:, :0]), settings),
        (replace(task, descriptions=("a tail", *task.descriptions[1:])), settings),
        (replace(task, plain=task.plain[::-1]), settings),
        (task, settings.with_(seed=9)),
    ]
    assert len({first, *(tuning.run_fingerprint(*other) for other in others)}) == len(others) + 1

    monkeypatch.setattr(tuning, "versions", lambda: {"srrs": "of tomorrow"})
    assert tuning.run_fingerprint(task, settings) != first


def test_relabelling_leaves_the_pictures(task: Task) -> None:
    labels = np.roll(task.labels, 1)
    moved = tuning.relabelled(task, labels)
    np.testing.assert_array_equal(moved.labels, labels)
    assert moved.plain is task.plain


def test_descriptions_come_from_the_users_file(tmp_path: Path) -> None:
    path = tmp_path / "looks.json"
    path.write_text(json.dumps({"Sea-Horse": "which has a curled tail."}))
    clauses, notes = tuning.describe(("cat", "sea horse"), path)
    assert clauses == (None, "a curled tail")
    assert notes == ["No description for 1 of 2 classes (cat): their described prompt is the plain one."]
