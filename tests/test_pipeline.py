"""Where data, models and methods meet."""

import csv
import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

from srrs import demo, pipeline, tuning
from srrs.audit.decisions import Decision
from srrs.audit.priority import review_order
from srrs.config import Settings
from srrs.core import metrics
from srrs.core.noise import NoiseSpec
from srrs.data.inputs import Inputs
from srrs.data.samples import Progress, Samples, checked, read
from srrs.errors import DataError, SettingsError
from srrs.methods.trusted import Settled
from srrs.models.base import Models


@pytest.fixture(scope="module")
def settings(clip_folder: Path) -> Settings:
    return Settings.of(
        model=str(clip_folder), matcher="none", method="coop", device="cpu", steps=4, views=1, learning_rate=0.05
    )


@pytest.fixture(scope="module")
def models(settings: Settings) -> Models:
    return pipeline.load_models(settings)


@pytest.fixture(scope="module")
def samples(photos: Path) -> Samples:
    return checked(read(photos))


@pytest.fixture(scope="module")
def fitted(samples, models, settings) -> pipeline.Fitted:
    return pipeline.fit(samples, models, settings)


def test_rows_are_learned_in_one_order_whatever_the_users(samples: Samples) -> None:
    order = np.random.default_rng(0).permutation(len(samples))
    shuffled = samples.take(order)
    rows, moved = pipeline.trainable_rows(samples), pipeline.trainable_rows(shuffled)
    assert [samples.ids[r] for r in rows] == [shuffled.ids[r] for r in moved]
    assert sorted(rows.tolist()) == list(range(18))


def test_what_srrs_says_of_labels_does_not_depend_on_how_long_it_tunes(samples, models, settings) -> None:
    short, long = (
        pipeline.fit(samples, models, settings.with_(method="srrs", steps=steps, learning_rate=2.0)).audit.table
        for steps in (2, 20)
    )
    tuned = ["macro", "micro"]
    pd.testing.assert_frame_equal(short.drop(columns=tuned), long.drop(columns=tuned))
    assert not short[tuned].equals(long[tuned])


def test_rows_with_an_issue_or_without_a_label_are_not_learned_from(samples: Samples) -> None:
    issues = ("truncated", *samples.issues[1:])
    labels = samples.labels.copy()
    labels[1] = -1
    rows = pipeline.trainable_rows(replace(samples, issues=issues, labels=labels))
    assert sorted(rows.tolist()) == list(range(2, 18))


def test_one_usable_class_is_too_few(samples: Samples) -> None:
    spoilt = replace(samples, issues=tuple("" if label == 0 else "empty file" for label in samples.labels))
    with pytest.raises(DataError, match="photographs of at least two classes, but found 6 of 1"):
        pipeline.trainable_rows(spoilt)


def test_the_plain_view_is_encoded_even_when_there_is_no_time(samples, models, settings, tmp_path: Path) -> None:
    rows = pipeline.trainable_rows(samples)
    hurried = pipeline.encode_rows(samples, rows, models, settings, views=3, minutes=0, cache=tmp_path / "a")
    patient = pipeline.encode_rows(samples, rows, models, settings, views=3, minutes=9, cache=tmp_path / "b")
    assert (hurried.plain.shape, hurried.views.shape[1], patient.views.shape[1]) == ((18, 24), 0, 3)
    np.testing.assert_array_equal(hurried.plain, patient.plain)


def test_a_view_that_would_end_too_late_is_not_begun(samples, models, settings, tmp_path: Path, monkeypatch) -> None:
    clock = [0.0]

    class SlowEncoder:
        """Every batch of photographs takes two minutes; 18 photographs are one batch."""

        def __getattr__(self, name: str) -> object:
            return getattr(models.clip, name)

        def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
            clock[0] += 120
            return models.clip.encode_images(pixels)

    monkeypatch.setattr(pipeline.time, "monotonic", lambda: clock[0])
    rows, slow = pipeline.trainable_rows(samples), replace(models, clip=SlowEncoder())
    views = {}
    for minutes in (3, 4, 7):
        clock[0] = 0
        made = pipeline.encode_rows(
            samples, rows, slow, settings, views=5, minutes=minutes, cache=tmp_path / str(minutes)
        )
        views[minutes] = made.views.shape[1]
    assert views == {3: 0, 4: 1, 7: 2}


def test_the_audit_names_what_was_used(fitted: pipeline.Fitted, models: Models) -> None:
    used = fitted.audit.settings
    assert json.loads(json.dumps(used)) == used
    assert (used["method"], used["matcher"], used["views"], used["text_passes"]) == ("coop", "none", 1, 4)
    assert used["model_fingerprint"] == models.clip.fingerprint
    assert {"python", "torch", "transformers", "srrs"} <= used["versions"].keys()


def test_an_unknown_method_is_refused_before_anything_is_encoded(samples, models, settings, monkeypatch) -> None:
    monkeypatch.setattr(pipeline, "encode", lambda *_, **__: pytest.fail("encoded"))
    with pytest.raises(SettingsError, match="there is no method 'magic'; choose one of zero-shot"):
        pipeline.fit(samples, models, settings.with_(method="magic"))


@pytest.mark.parametrize("matcher", [False, True])
def test_every_stage_is_announced_in_its_order_and_brought_to_its_end(
    samples, models, settings, blip_folder: Path, tmp_path: Path, monkeypatch, matcher: bool
) -> None:
    monkeypatch.setattr(tuning, "MATCHER_BATCH", 7)
    if matcher:
        models = pipeline.load_models(settings.with_(matcher=str(blip_folder)))
    inputs, held_out = Inputs(samples), Inputs(samples.take(range(4)))
    heard: dict[str, list[tuple[int, int]]] = {}

    def stages(title: str) -> Progress:
        heard[title] = []
        return lambda done, total: heard[title].append((done, total))

    pipeline.fit(samples, models, settings, stages=stages, held_out=held_out, cache=tmp_path)
    assert list(heard) == pipeline.stages_of(models, inputs, held_out)
    assert (pipeline.MATCHING in heard) == matcher
    for title, told in heard.items():
        assert told == sorted(told), title
        assert told[-1][0] == told[-1][1] > 0, title


def test_class_names_that_look_like_codes_are_noted(samples: Samples, fitted: pipeline.Fitted) -> None:
    coded = replace(samples, class_names=("n01443537", "dog", "c01"))
    notes = pipeline.class_name_notes(coded, fitted.tuned)
    assert any("look like codes (n01443537, c01): give words with --names FILE" in note for note in notes)
    assert not any("codes" in note for note in pipeline.class_name_notes(samples, fitted.tuned))


@pytest.mark.parametrize(("right", "noted"), [(0, True), (18, False)])
def test_a_model_that_hardly_knows_the_names_is_noted(samples, fitted, right: int, noted: bool) -> None:
    found = fitted.tuned.round.evidence
    guess = np.where(np.arange(18) < right, found.labels, (found.labels + 1) % 3)
    evidence = replace(found, zero_shot=np.eye(3)[guess])
    tuned = replace(fitted.tuned, round=replace(fitted.tuned.round, evidence=evidence))
    assert any("near chance" in note for note in pipeline.class_name_notes(samples, tuned)) == noted


def test_features_are_written_row_by_row_with_their_table(samples, models, settings, tmp_path: Path) -> None:
    broken = replace(samples, issues=("truncated", *samples.issues[1:]))
    written = pipeline.write_features(tmp_path / "out", broken, models, settings.with_(views=2))
    assert [path.name for path in written] == ["features.safetensors", "samples.csv"]
    arrays = load_file(written[0])
    with written[1].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == list(samples.ids[1:])
    assert {row["label"] for row in rows} == {"cat", "dog", "sea horse"}
    assert arrays["plain"].shape == (17, 24)
    assert arrays["views"].shape == (17, 2, 24)
    last = models.clip.encode_images(models.clip.preprocess(pipeline.open_rgb(samples.paths[-1]))[None])
    np.testing.assert_allclose(arrays["plain"][-1], last[0], atol=2e-3)


def test_features_of_nothing_are_refused(samples, models, settings, tmp_path: Path) -> None:
    nothing = replace(samples, issues=("empty file",) * 18)
    with pytest.raises(DataError, match="Expected photographs that can be read, but found none among 18"):
        pipeline.write_features(tmp_path, nothing, models, settings)


def test_thumbnails_are_jpegs_and_none_where_nothing_opens(samples: Samples, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    thumbnail = pipeline.thumbnails(replace(samples, paths=(tmp_path / "empty.jpg", *samples.paths[1:])))
    assert thumbnail(0) is None
    assert (thumbnail(1) or b"").startswith(b"\xff\xd8")


def test_trusted_decisions_help_the_rest_of_the_bundled_photos() -> None:
    """With pair noise of 30 %, a person answers for the 40 photographs most worth a look."""
    train = checked(read(Path(str(files("srrs") / "assets" / "photos" / "train"))))
    settings = Settings.of(model="bundled", matcher="none", steps=0, views=0)
    models = pipeline.load_models(settings)
    noisy = demo.with_noise(train, NoiseSpec.parse("pair:0.3"), 1)
    before = pipeline.fit(noisy, models, settings)
    looked = review_order(before.audit, 40)
    right = [train.class_names[label] for label in train.labels]
    decisions = {train.ids[row]: Decision("relabel", right[row]) for row in looked}
    after = pipeline.fit(noisy, models, settings, decisions=decisions)
    rest = np.setdiff1d(np.arange(len(train)), looked)
    wrong = np.asarray(noisy.labels != train.labels)
    figures = []
    for audit in (before.audit, after.audit):
        table = audit.to_pandas()
        left = np.mean([table.suggested[row] != right[row] for row in rest])
        figures.append((metrics.audit_auroc(table.quality.to_numpy()[rest], wrong[rest]), left))
    assert wrong[looked].mean() > 0.9
    assert figures[1][0] >= figures[0][0]
    assert figures[1][1] <= figures[0][1]
    kept = after.audit.to_pandas().iloc[looked]
    assert kept.suggested.tolist() == [right[row] for row in looked]
    assert kept.given.tolist() == [train.class_names[noisy.labels[row]] for row in looked]


def test_a_photo_without_a_label_that_was_given_one_is_learned_from(photos) -> None:
    samples = checked(read(photos))
    labels, issues = np.array(samples.labels), list(samples.issues)
    labels[0], issues[0], issues[1] = -1, "no label", "truncated"
    samples = replace(samples, labels=labels, issues=tuple(issues))
    decisions = {samples.ids[row]: Decision("relabel", "dog") for row in (0, 1)}
    told, decided = pipeline.as_decided(samples, decisions)
    assert decided == {samples.ids[0]: Settled(1, 1)}
    assert (told.labels[0], told.issues[:2]) == (1, ("", "truncated"))
