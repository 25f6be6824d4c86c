"""What is tuned, when, and by what a run is recognized."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from srrs import pipeline, tuning
from srrs.config import LEARNING_RATE, Settings
from srrs.data.samples import Samples, checked, read
from srrs.errors import SettingsError
from srrs.features.cached import CachedFeatures
from srrs.methods.spec import method
from srrs.methods.stages import PROBE, TunerSpec
from srrs.methods.trusted import VerifiedLabel
from srrs.models.base import ClassVectors, Models
from srrs.records import Features
from srrs.tuners import DescribedPrompt, LinearProbe
from srrs.tuning import Task


@pytest.fixture(scope="module")
def settings(clip_folder: Path) -> Settings:
    return Settings.of(model=str(clip_folder), matcher="none", method="coop", device="cpu", steps=4, views=1)


@pytest.fixture(scope="module")
def samples(photos: Path) -> Samples:
    return checked(read(photos))


@pytest.fixture(scope="module")
def task(samples: Samples, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Task:
    models, rows = pipeline.load_models(settings), pipeline.trainable_rows(samples)
    features = pipeline.encode_rows(
        samples, rows, models.image, views=1, seed=1, cache=tmp_path_factory.mktemp("cache")
    )
    source = CachedFeatures(features, samples.content_keys[rows])
    return pipeline.make_task(samples, rows, source, models, (None,) * len(samples.class_names), settings)


def without_text(task: Task, vectors: bool) -> Task:
    """The task on its embeddings alone, with class vectors or without."""
    classes = ClassVectors(torch.eye(3, 24)) if vectors else None
    return replace(task, models=Models.without_towers(24, classes))


@pytest.fixture
def built(monkeypatch) -> list[str]:
    """Names of the tuners that were built."""
    names: list[str] = []
    make = tuning.make_tuners

    def spying(specs, *arguments):
        names.extend(spec.name for spec in specs)
        return make(specs, *arguments)

    monkeypatch.setattr(tuning, "make_tuners", spying)
    return names


def test_an_audit_whose_decision_reads_no_logits_builds_no_tuner(task: Task, settings: Settings, built) -> None:
    outcome = tuning.audit_task(task, settings.with_(method="srrs"))
    assert built == []
    assert (outcome.classifier, outcome.tuners, outcome.text_passes) == (None, {}, 0)
    assert set(outcome.predicted) == {"zero_shot"}
    assert len(outcome.history) == 1


def test_an_audit_whose_decision_reads_logits_tunes(task: Task, settings: Settings, built) -> None:
    outcome = tuning.audit_task(task, settings.with_(method="gce"))
    assert built == ["macro"]
    assert set(outcome.predicted) == {"macro", "zero_shot"}
    assert outcome.text_passes == 4
    assert outcome.classifier is not None


def test_an_audit_says_the_same_of_the_labels_as_a_fit_where_nothing_needs_tuning(task, settings) -> None:
    chosen = settings.with_(method="srrs")
    audit, fit = (work(task, chosen).round for work in (tuning.audit_task, tuning.tune_task))
    np.testing.assert_array_equal(audit.quality, fit.quality)
    np.testing.assert_array_equal(audit.targets.soft, fit.targets.soft)
    np.testing.assert_array_equal(audit.partition.group, fit.partition.group)


def test_a_method_may_be_an_object(task: Task, settings: Settings) -> None:
    made = replace(method("gce"), tuners=(PROBE,))
    outcome = tuning.tune_task(task, settings, method=made)
    assert set(outcome.predicted) == {"probe", "zero_shot"}


def test_verified_labels_are_learned_as_decided(task: Task, settings: Settings) -> None:
    given = int(task.labels[5])
    decided = (given + 1) % 3
    labels = np.array(task.labels)
    labels[5] = decided
    for work in (tuning.audit_task, tuning.tune_task):
        last = work(
            task.relabeled(labels), settings.with_(method="srrs"), verified={5: VerifiedLabel(decided, given)}
        ).round
        assert last.targets.soft[5, decided] == 1


@pytest.mark.parametrize(
    ("name", "vectors", "expected"),
    [
        ("srrs", True, ("residual", "probe")),
        ("srrs", False, ("probe",)),
        ("linear-probe", False, ("probe",)),
        ("srrs(tuners=probe)", True, ("probe",)),
    ],
)
def test_without_a_text_tower_a_method_tunes_what_needs_none(task, settings, built, name, vectors, expected) -> None:
    outcome = tuning.tune_task(without_text(task, vectors), settings.with_(method=name))
    assert tuple(built) == tuple(outcome.tuners) == expected
    assert set(outcome.predicted) == {*expected, *(["zero_shot"] if vectors else [])}


@pytest.mark.parametrize("name", ["coop", "srrs-paper", "jocor(noise_rate=0.2)", "nlprompt"])
@pytest.mark.parametrize("vectors", [True, False])
def test_a_method_that_tunes_only_prompts_is_refused_without_a_text_tower(task, settings, name, vectors) -> None:
    with pytest.raises(SettingsError, match=r"tunes prompts, but there is no text tower \(--model none\): give a mod"):
        tuning.tune_task(without_text(task, vectors), settings.with_(method=name))


def test_a_method_that_reads_zero_shot_predictions_is_refused_without_class_vectors(task, settings) -> None:
    name = "linear-probe(screen=transition)"
    tuning.tune_task(without_text(task, True), settings.with_(method=name))
    with pytest.raises(SettingsError, match="reads zero-shot predictions, but without class vectors there are none"):
        tuning.tune_task(without_text(task, False), settings.with_(method=name))


def test_a_matcher_needs_class_vectors(task: Task, settings) -> None:
    matched = replace(without_text(task, False), match=lambda rows, _: np.ones(len(rows)))
    with pytest.raises(SettingsError, match=r"The matcher scores the classes .* or --matcher none"):
        tuning.audit_task(matched, settings.with_(method="srrs"))


def test_the_untuned_classifier_is_that_of_the_class_vectors_or_of_the_class_prompts(task: Task) -> None:
    assert tuning.untuned_head(without_text(task, False)) is None
    with pytest.raises(ValueError, match="expected a text tower or class vectors"):
        tuning.untuned_probs(without_text(task, False))
    head = tuning.untuned_head(without_text(task, True))
    assert (head.scale, head.bias) == (100, None)
    np.testing.assert_array_equal(head.weights, np.eye(3, 24))
    probs = tuning.untuned_probs(task)
    np.testing.assert_allclose(probs.sum(1), 1, rtol=1e-5)
    logits = task.source.mean_view(slice(None)) @ tuning.untuned_head(task).weights.T * task.models.logit_scale
    np.testing.assert_allclose(probs, logits.softmax(1), rtol=1e-4)


def test_tuners_are_built_in_the_order_of_the_method_with_their_own_options(task, settings) -> None:
    specs = (TunerSpec("mine", "linear-probe", learning_rate=0.03), TunerSpec("micro", "described-prompt"))
    probe, prompt = tuning.make_tuners(specs, task, tuning.untuned_head(task), settings.with_(words="a bad photo of"))
    assert isinstance(probe, LinearProbe)
    assert isinstance(prompt, DescribedPrompt)
    assert probe.learning_rate == 0.03
    other = tuning.make_tuners(specs, task, tuning.untuned_head(task), settings)[1]
    assert not torch.equal(next(prompt.parameters()), next(other.parameters()))


def test_the_learning_rate_of_the_settings_or_the_method_scales_those_of_all_tuners(settings: Settings) -> None:
    method = replace(tuning.method_of(settings), learning_rate=None)
    own, twice = (tuning.schedule_of(settings.with_(learning_rate=rate), method) for rate in (None, 2 * LEARNING_RATE))
    assert (own.rate, twice.rate) == (1.0, 2.0)
    slow = replace(method, learning_rate=LEARNING_RATE / 4)
    assert tuning.schedule_of(settings, slow).rate == 0.25
    assert tuning.schedule_of(settings.with_(learning_rate=LEARNING_RATE / 2), slow).rate == 0.5
    assert (own.steps, own.batch, own.views) == (4, 512, 4)


def test_the_matcher_is_asked_about_each_rows_own_image(samples, settings, blip_folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(tuning, "MATCHER_BATCH", 7)
    matcher = pipeline.load_models(settings.with_(matcher=str(blip_folder))).matcher
    rows = pipeline.trainable_rows(samples)
    scores = tuning.match_scores(samples, rows, matcher, (None, "two legs", None))
    some = scores(np.array([2, 11]), np.array([1, 0]))
    alone = tuning.match_scores(samples, rows[[2, 11]], matcher, (None, "two legs", None))
    np.testing.assert_allclose(some, alone(np.array([0, 1]), np.array([1, 0])), atol=1e-4)


def with_features(task: Task, change: Callable[[np.ndarray], np.ndarray]) -> Task:
    """The task with other features of the same images, as far as their keys tell."""
    plain, views = task.source.features.rows(slice(None))
    return replace(task, source=replace(task.source, features=Features(change(plain), views)))


def test_everything_that_changes_a_run_changes_its_fingerprint(task: Task, settings: Settings, monkeypatch) -> None:
    chosen = method("coop")
    first = tuning.run_fingerprint(task, chosen, settings)
    assert first == tuning.run_fingerprint(replace(task), chosen, settings.with_())
    source, bare = task.source, without_text(task, True)
    fewer = replace(source, features=source.features.take(np.arange(18), 0))
    others = [
        (task.relabeled(np.roll(task.labels, 1)), chosen, settings),
        (replace(task, source=fewer), chosen, settings),
        (replace(task, source=replace(source, keys=source.keys[::-1])), chosen, settings),
        (with_features(task, lambda plain: np.roll(plain, 1, 0)), chosen, settings),
        (replace(task, descriptions=("a tail", *task.descriptions[1:])), chosen, settings),
        (replace(task, class_names=("wolf", *task.class_names[1:])), chosen, settings),
        (bare, chosen, settings),
        (replace(bare, models=replace(bare.models, logit_scale=10.0)), chosen, settings),
        (replace(bare, models=replace(bare.models, class_vectors=ClassVectors(-torch.eye(3, 24)))), chosen, settings),
        (
            replace(bare, models=replace(bare.models, class_vectors=ClassVectors(torch.eye(3, 24), torch.ones(3, 24)))),
            *(chosen, settings),
        ),
        (task, method("gce"), settings),
        (task, replace(chosen, tuners=(PROBE,)), settings),
        (task, chosen, settings.with_(seed=9)),
        (task, chosen, settings, {5: VerifiedLabel(1, 0)}),
        (task, chosen, settings, {5: VerifiedLabel(1, 1)}),
    ]
    assert len({first, *(tuning.run_fingerprint(*other) for other in others)}) == len(others) + 1

    with monkeypatch.context() as patch:
        patch.setattr(tuning, "versions", lambda: {"srrs": "of tomorrow"})
        assert tuning.run_fingerprint(task, chosen, settings) != first
    monkeypatch.setattr(tuning, "code_digest", lambda: "of tomorrow")
    assert tuning.run_fingerprint(task, chosen, settings) != first


def test_relabeling_keeps_the_images(task: Task) -> None:
    labels = np.roll(task.labels, 1)
    moved = task.relabeled(labels)
    np.testing.assert_array_equal(moved.labels, labels)
    assert moved.source is task.source


def test_descriptions_come_from_the_users_file(tmp_path: Path) -> None:
    path = tmp_path / "looks.json"
    path.write_text(json.dumps({"Sea-Horse": "which has a curled tail."}))
    clauses, notes = tuning.describe(("cat", "sea horse"), path)
    assert clauses == (None, "a curled tail")
    assert notes == ["No description for 1 of 2 classes (cat): their described prompt is the plain one."]
