"""Where data, models and methods meet."""

import csv
import json
from collections.abc import Callable
from dataclasses import fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

from srrs import demo, pipeline, tuning
from srrs.audit.decisions import Decision
from srrs.audit.priority import review_order
from srrs.config import AUDIT_VIEWS, FIT_VIEWS, Settings
from srrs.core import metrics
from srrs.core.noise import NoiseSpec
from srrs.data.images import open_rgb
from srrs.data.inputs import Inputs, read_inputs
from srrs.data.samples import Progress, Samples, checked, read
from srrs.errors import DataError, SettingsError
from srrs.features.live import LiveImages
from srrs.methods.trusted import VerifiedLabel
from srrs.models.base import Models
from srrs.pipeline import encoding
from srrs.pipeline.run import DROPPED


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
def request_of(samples: Samples, models: Models, settings: Settings) -> Callable[..., pipeline.Request]:
    """A request for the drawn images, with some fields or settings changed."""

    def make(**changes: Any) -> pipeline.Request:
        own = {field.name for field in fields(pipeline.Request)} - {"method"}  # a method is given by its name
        given = {name: changes.pop(name) for name in own & set(changes)}
        usual = pipeline.Request(samples, models, settings.with_(**changes))
        return replace(usual, **given)

    return make


@pytest.fixture(scope="module")
def fitted(request_of) -> pipeline.Fitted:
    return pipeline.fit(request_of())


def test_rows_are_learned_in_one_order_whatever_the_users(samples: Samples) -> None:
    order = np.random.default_rng(0).permutation(len(samples))
    shuffled = samples.take(order)
    rows, moved = pipeline.trainable_rows(samples), pipeline.trainable_rows(shuffled)
    assert [samples.ids[r] for r in rows] == [shuffled.ids[r] for r in moved]
    assert sorted(rows.tolist()) == list(range(18))


def test_samples_of_the_same_content_are_ordered_by_label_and_id(samples: Samples) -> None:
    same = replace(samples, keys=(samples.keys[0],) * 18)
    order = np.random.default_rng(0).permutation(18)
    shuffled = same.take(order)
    rows, moved = pipeline.trainable_rows(same), pipeline.trainable_rows(shuffled)
    assert [same.ids[row] for row in rows] == [shuffled.ids[row] for row in moved] == list(samples.ids)


def test_what_srrs_says_of_labels_does_not_depend_on_how_long_it_tunes(request_of) -> None:
    short, long = (
        pipeline.fit(request_of(method="srrs", steps=steps, learning_rate=60.0)).audit.table for steps in (2, 20)
    )
    tuned = ["macro", "micro", "residual"]
    pd.testing.assert_frame_equal(short.drop(columns=tuned), long.drop(columns=tuned))
    assert not short[tuned].equals(long[tuned])


@pytest.mark.parametrize(("method", "columns"), [("srrs", ()), ("gce", ("macro",)), ("srrs-paper", ("macro", "micro"))])
def test_an_audit_tunes_only_what_its_decision_reads(request_of, monkeypatch, method, columns) -> None:
    built = []
    make = tuning.make_tuners
    monkeypatch.setattr(tuning, "make_tuners", lambda specs, *rest: built.extend(specs) or make(specs, *rest))
    found = pipeline.audit(request_of(method=method))
    assert tuple(spec.name for spec in built) == found.audit.tuned == columns
    assert (found.outcome.classifier is None) == (not columns)
    assert found.audit.settings["text_passes"] == 4 * len(columns)
    assert not found.audit.table[["zero_shot", *columns]].isna().any(axis=None)


def test_an_audit_encodes_fewer_views_than_a_fit_unless_told_how_many(request_of, monkeypatch) -> None:
    asked = []
    encode = encoding.encode_rows
    monkeypatch.setattr(encoding, "encode_rows", lambda *a, **k: asked.append(k["views"]) or encode(*a, **k))
    for work in (pipeline.audit, pipeline.fit):
        for views in (None, 1):
            found = work(request_of(views=views, method="zero-shot"))
            assert found.audit.settings["views"] == asked[-1]
    assert asked == [AUDIT_VIEWS, 1, FIT_VIEWS, 1]


def test_rows_with_an_issue_or_without_a_label_are_not_learned_from(samples: Samples) -> None:
    issues = ("truncated", *samples.issues[1:])
    labels = samples.labels.copy()
    labels[1] = -1
    rows = pipeline.trainable_rows(replace(samples, issues=issues, labels=labels))
    assert sorted(rows.tolist()) == list(range(2, 18))


def test_one_usable_class_is_too_few(samples: Samples) -> None:
    spoilt = replace(samples, issues=tuple("" if label == 0 else "empty file" for label in samples.labels))
    with pytest.raises(DataError, match="usable images of at least two classes, but found 6 of 1"):
        pipeline.trainable_rows(spoilt)


def test_a_time_limit_cuts_augmented_views_and_never_the_plain_one(samples, models, tmp_path: Path) -> None:
    rows = pipeline.trainable_rows(samples)
    hurried, patient, free = (
        pipeline.encode_rows(samples, rows, models.image, views=3, seed=1, max_minutes=limit, cache=tmp_path / name)
        for name, limit in (("a", 0), ("b", 9), ("c", None))
    )
    assert [hurried.views.shape[1], patient.views.shape[1], free.views.shape[1]] == [0, 3, 3]
    np.testing.assert_array_equal(hurried.plain, patient.plain)
    np.testing.assert_array_equal(free.views, patient.views)


def test_without_a_time_limit_nothing_asks_for_the_time(request_of, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(encoding, "_too_late", lambda minutes: pytest.fail("asked for the time"))
    assert pipeline.audit(request_of(method="zero-shot", cache=tmp_path)).audit.settings["views"] == 1


def test_a_view_that_would_end_too_late_is_not_begun(samples, models, tmp_path: Path, monkeypatch) -> None:
    clock = [0.0]

    class SlowEncoder:
        """Every batch of images takes two minutes; 18 images are one batch."""

        def __getattr__(self, name: str) -> object:
            return getattr(models.image, name)

        def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
            clock[0] += 120
            return models.image.encode_images(pixels)

    monkeypatch.setattr(encoding.time, "monotonic", lambda: clock[0])
    rows, views = pipeline.trainable_rows(samples), {}
    for minutes in (3, 4, 7):
        clock[0] = 0
        made = pipeline.encode_rows(
            samples, rows, SlowEncoder(), views=5, seed=1, max_minutes=minutes, cache=tmp_path / str(minutes)
        )
        views[minutes] = made.views.shape[1]
    assert views == {3: 0, 4: 1, 7: 2}


def test_images_without_a_model_cannot_be_encoded(samples) -> None:
    with pytest.raises(SettingsError, match=r"no model to encode images with \(--model none\): give their embeddings"):
        pipeline.encode_rows(samples, [0], None, views=0, seed=1)


def test_the_audit_names_what_was_used(fitted: pipeline.Fitted, models: Models) -> None:
    used = fitted.audit.settings
    assert json.loads(json.dumps(used)) == used
    assert (used["method"], used["matcher"], used["views"], used["text_passes"]) == ("coop", "none", 1, 4)
    assert used["model_fingerprint"] == models.image.fingerprint
    assert {"python", "torch", "transformers", "srrs"} <= used["versions"].keys()


def test_an_unknown_method_is_refused_before_anything_is_encoded(request_of, monkeypatch) -> None:
    monkeypatch.setattr(encoding, "encode", lambda *_, **__: pytest.fail("encoded"))
    with pytest.raises(SettingsError, match="there is no method 'magic'; choose one of zero-shot"):
        pipeline.fit(request_of(method="magic"))


@pytest.mark.parametrize("name", ["id", "zero_shot", "flags"])
def test_a_tuner_with_the_name_of_a_column_is_refused_before_anything_is_encoded(request_of, monkeypatch, name) -> None:
    monkeypatch.setattr(encoding, "encode_rows", lambda *_, **__: pytest.fail("encoded"))
    with pytest.raises(SettingsError, match=f"A tuner cannot be called '{name}', which is a column of the audit"):
        pipeline.fit(request_of(method=f"coop(tuners=linear_probe(name='{name}'))"))


def test_tuners_of_one_name_are_refused(request_of) -> None:
    with pytest.raises(SettingsError, match=r"several tuners are called 'probe': .* as in probe\(name='other'\)"):
        pipeline.fit(request_of(method="coop(tuners=[probe, probe])"))


@pytest.mark.parametrize("work", [pipeline.fit, pipeline.audit])
@pytest.mark.parametrize("matcher", [False, True])
def test_every_stage_is_announced_in_its_order_and_brought_to_its_end(
    request_of, models, samples, settings, blip_folder: Path, tmp_path: Path, monkeypatch, matcher: bool, work
) -> None:
    monkeypatch.setattr(tuning, "MATCHER_BATCH", 7)
    if matcher:
        models = pipeline.load_models(settings.with_(matcher=str(blip_folder)))
    inputs, held_out = Inputs(samples), Inputs(samples.take(range(4)))
    heard: dict[str, list[tuple[int, int]]] = {}

    def stages(title: str) -> Progress:
        heard[title] = []
        return lambda done, total: heard[title].append((done, total))

    work(request_of(models=models, held_out=held_out, cache=tmp_path), stages=stages)
    assert list(heard) == pipeline.stages_of(models, inputs, held_out)
    assert (pipeline.MATCHING in heard) == matcher
    for title, told in heard.items():
        assert told == sorted(told), title
        assert told[-1][0] == told[-1][1] > 0, title


def test_class_names_that_look_like_codes_are_noted(samples: Samples, fitted: pipeline.Fitted) -> None:
    coded = replace(samples, class_names=("n01443537", "dog", "c01"))
    notes = pipeline.class_name_notes(coded, fitted.outcome, fitted.task)
    assert any("look like codes (n01443537, c01): give words with --names FILE" in note for note in notes)
    assert not any("codes" in note for note in pipeline.class_name_notes(samples, fitted.outcome, fitted.task))


@pytest.mark.parametrize(("right", "noted"), [(0, True), (18, False)])
def test_a_model_that_hardly_knows_the_names_is_noted(samples, fitted, right: int, noted: bool) -> None:
    labels = fitted.task.labels
    guess = np.where(np.arange(18) < right, labels, (labels + 1) % 3)
    outcome = replace(fitted.outcome, predicted={"zero_shot": guess})
    notes = pipeline.class_name_notes(samples, outcome, fitted.task)
    assert any("near chance" in note for note in notes) == noted


@pytest.mark.parametrize("method", ["gce", "srrs"])
def test_live_views_need_images_and_a_model(request_of, fitted, method: str, tmp_path: Path) -> None:
    live = pipeline.fit(request_of(method=method, live=True, cache=tmp_path))
    assert isinstance(live.task.source, LiveImages)
    assert live.audit.settings["views"] is None
    features = fitted.task.source.features
    with pytest.raises(SettingsError, match="Live views need images and a model: leave out --features"):
        pipeline.fit(request_of(method=method, live=True, features=features))


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
    last = models.image.encode_images(models.image.preprocess(open_rgb(samples.paths[-1]))[None])
    np.testing.assert_allclose(arrays["plain"][-1], last[0], atol=2e-3)


def test_features_of_nothing_are_refused(samples, models, settings, tmp_path: Path) -> None:
    nothing = replace(samples, issues=("empty file",) * 18)
    with pytest.raises(DataError, match="Expected images that can be read, but found none among 18"):
        pipeline.write_features(tmp_path, nothing, models, settings)


def test_thumbnails_are_jpegs_and_none_where_nothing_opens(samples: Samples, tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    thumbnail = pipeline.thumbnails(replace(samples, paths=(tmp_path / "empty.jpg", *samples.paths[1:])))
    assert thumbnail(0) is None
    assert (thumbnail(1) or b"").startswith(b"\xff\xd8")


def test_trusted_decisions_help_the_rest_of_the_bundled_images() -> None:
    """With pair noise of 30 %, a person answers for the 40 images most worth a look."""
    train = checked(read(Path(str(files("srrs") / "assets" / "photos" / "train"))))
    settings = Settings.of(model="bundled", matcher="none", steps=0, views=0)
    models = pipeline.load_models(settings)
    noisy = demo.with_noise(train, NoiseSpec.parse("pair:0.3"), 1)
    before = pipeline.audit(pipeline.Request(noisy, models, settings))
    looked = review_order(before.audit, 40)
    right = [train.class_names[label] for label in train.labels]
    decisions = {train.ids[row]: Decision("relabel", right[row]) for row in looked}
    after = pipeline.audit(pipeline.Request(noisy, models, settings, decisions=decisions))
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


def test_an_image_without_a_label_that_was_given_one_is_learned_from(samples: Samples) -> None:
    labels, issues = np.array(samples.labels), list(samples.issues)
    labels[0], issues[0], issues[1] = -1, "no label", "truncated"
    changed = replace(samples, labels=labels, issues=tuple(issues))
    decisions = {samples.ids[row]: Decision("relabel", "dog") for row in (0, 1)}
    told, verified = pipeline.as_decided(changed, decisions)
    assert verified == {0: VerifiedLabel(1, 1)}
    assert (told.labels[0], told.issues[:2]) == (1, ("", "truncated"))


def test_a_decision_stands_for_its_row_under_the_label_it_had(samples: Samples) -> None:
    decisions = {
        samples.ids[2]: Decision("relabel", "dog"),
        samples.ids[7]: Decision("keep", "dog"),
        samples.ids[9]: Decision("drop", None),
        "gone.jpg": Decision("keep", "cat"),
    }
    told, verified = pipeline.as_decided(samples, decisions)
    assert verified == {2: VerifiedLabel(1, 0), 7: VerifiedLabel(1, 1)}
    assert [told.labels[row] for row in (2, 7, 9)] == [1, 1, 1]
    assert {row: issue for row, issue in enumerate(told.issues) if issue} == {9: DROPPED}
    np.testing.assert_array_equal(told.content_keys, samples.content_keys)
    assert samples.labels[2] == 0


def test_decisions_reach_their_own_rows_whatever_the_order(request_of, samples: Samples) -> None:
    """Two files of the same bytes, of which one is decided on."""
    twins = replace(samples, keys=(samples.keys[1], *samples.keys[1:]))
    decisions = {samples.ids[1]: Decision("relabel", "dog"), samples.ids[9]: Decision("drop", None)}
    order = np.random.default_rng(3).permutation(18)
    for rows in (twins, twins.take(order)):
        table = pipeline.audit(request_of(samples=rows, method="srrs", decisions=decisions)).audit.table.set_index("id")
        decided = table.loc[samples.ids[1]]
        assert (decided.given, decided.suggested, decided.status, decided.p_clean) == ("cat", "dog", "clean", 1.0)
        assert decided["flags"].startswith("trusted; duplicate of cat/0.jpg")
        assert (table.loc[samples.ids[9]].status, table.loc[samples.ids[9]].issue) == ("unusable", DROPPED)
        assert table["flags"].fillna("").str.contains("trusted").sum() == 1


def test_an_audit_of_very_many_embeddings_compares_nobody_with_everybody(monkeypatch) -> None:
    """70,000 embeddings of five classes: nothing builds the N names or searches all pairs more than a few times."""
    count, classes = 70_000, 5
    rng = np.random.default_rng(0)
    truth = rng.integers(0, classes, count)
    labels = np.where(rng.random(count) < 0.1, rng.integers(0, classes, count), truth)
    vectors = rng.normal(size=(classes, 16)) * 2
    embeddings = (vectors[truth] + rng.normal(size=(count, 16))).astype(np.float32)
    built = []
    given = Samples.given.func
    monkeypatch.setattr(Samples.given, "func", lambda samples: built.append(1) or given(samples))
    for search in ("srrs.core.neighbors.nearest", "srrs.audit.flags.nearest", "srrs.audit.flags.near_duplicates"):
        monkeypatch.setattr(search, lambda *_: pytest.fail("compared all with all"))
    monkeypatch.setattr("srrs.core.index.installed", lambda: False)
    inputs = read_inputs(embeddings, labels.tolist(), class_names=list("abcde"), class_vectors=vectors, bare=True)
    settings = Settings.of(model="none", device="cpu")
    models = pipeline.load_models(settings, inputs.embeddings)
    audit = pipeline.audit(pipeline.Request(inputs.samples, models, settings, features=inputs.features)).audit
    table = audit.table
    assert any("pip install 'srrs[index]'" in finding.text for finding in audit.findings)
    assert len(built) <= 3
    assert len(table) == count
    assert table.neighbors_agree.isna().all()
    suggested = table.suggested.map("abcde".index).to_numpy()
    assert (suggested != truth).mean() < 0.5 * (labels != truth).mean()
