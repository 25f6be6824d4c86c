"""From a user's rows to an audit of their labels, or to a tuned classifier and the audit."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from srrs.audit import flags as flagging
from srrs.audit.decisions import Decision
from srrs.audit.report import jpeg
from srrs.audit.table import Audit, Rows
from srrs.config import AUDIT_VIEWS, FIT_VIEWS, Settings
from srrs.data.appearance import appearance, unseen
from srrs.data.embeddings import Embeddings
from srrs.data.images import open_rgb
from srrs.data.inputs import Inputs
from srrs.data.pictures import file_of
from srrs.data.samples import NO_LABEL, Progress, Samples, looks_like_codes
from srrs.errors import DataError, SettingsError
from srrs.features.cached import CachedFeatures
from srrs.features.live import LiveImages
from srrs.features.source import ViewSource
from srrs.features.store import encode
from srrs.io import cache_root, write_atomic
from srrs.methods.stages import Method
from srrs.methods.trusted import VerifiedLabel
from srrs.models.base import NO_MODEL, ClassVectors, ImageTower, Models
from srrs.records import Features, Group, Ints
from srrs.train.events import Listener
from srrs.train.loop import Outcome
from srrs.tuning import Task, audit_task, describe, match_scores, method_of, tune_task, untuned_head, versions

Stages = Callable[[str], Progress]
"""Starts a stage of a run by its name, and returns the progress to report to."""
ENCODING, MATCHING, TUNING, LOOKING, TESTING = (
    "Encoding views", "Encoding for the matcher", "Tuning", "Looking for flaws", "Encoding test images",
)  # fmt: skip
NEAR_CHANCE = 2.0  # zero-shot agreement below this many times chance is worth a warning
DROPPED = "left out by decision"


@dataclass(frozen=True, eq=False)
class Request:
    """What to audit or to fit, and how."""

    samples: Samples
    """Checked samples."""
    models: Models
    settings: Settings
    method: Method | None = None
    """None: the method that the settings name."""
    features: Features | None = None
    """Features of all rows, which take the place of encoding their images."""
    descriptions: Path | None = None
    """A file of class descriptions; None for the bundled ones."""
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    """A person's decisions by id. They are certain: a label that was kept or chosen is learned as such, a dropped image
    is left out."""
    held_out: Inputs | None = None
    """Test samples, among which duplicates are looked for."""
    cache: Path | None = None
    """Folder of the feature cache; None for the user's."""
    checkpoint: Path | None = None
    """Folder for the state of the run."""
    max_minutes: float | None = None
    """Time for encoding augmented views. The result then depends on the speed of the machine."""


@dataclass(frozen=True)
class Fitted:
    """An audit, with the classifier if one was tuned."""

    outcome: Outcome
    task: Task
    audit: Audit
    notes: tuple[str, ...]


def load_models(settings: Settings, embeddings: Embeddings | None = None) -> Models:
    """Load the dual encoder and the matcher that the settings name.

    With embeddings, no image needs to exist: the matcher is then loaded only if the settings name one, and the model
    `none` stands for the class vectors. Raises SettingsError where the model is known not to have made the embeddings.
    """
    from srrs.models.device import choose_device
    from srrs.models.hub import load_model
    from srrs.models.matcher import load_matcher

    chosen = settings.model
    matcher = NO_MODEL if embeddings and chosen.matcher == "auto" else chosen.matcher
    if chosen.name != NO_MODEL:
        clip = load_model(chosen.name, chosen.device, chosen.precision)
        if embeddings:
            check_made_by(embeddings, clip)
        return Models.of(clip, load_matcher(matcher, chosen.name, chosen.device))
    if embeddings is None:
        raise SettingsError("Without a model (--model none) there must be embeddings: give them with --features FILE.")
    classes, device = embeddings.classes, choose_device(chosen.device)
    return Models.without_towers(
        embeddings.size,
        ClassVectors(torch.from_numpy(classes.plain), _tensor(classes.described)) if classes else None,
        logit_scale=classes.logit_scale if classes else None,
        fingerprint=embeddings.model,
        device=device,
        matcher=load_matcher(matcher, chosen.name, chosen.device),
    )


def _tensor(array: Any) -> torch.Tensor | None:
    return None if array is None else torch.from_numpy(array)


def check_made_by(embeddings: Embeddings, clip: ImageTower) -> None:
    """Raises SettingsError where embeddings are known to be another model's."""
    if embeddings.model and embeddings.model != clip.fingerprint:
        name = f" ('{embeddings.model_name}')" if embeddings.model_name else ""
        raise SettingsError(
            f"The embeddings of {embeddings.source} were made by another model{name} than '{clip.name}': give that one "
            "with --model, or --model none to work without any, or embed the photographs again."
        )
    if embeddings.size != clip.feature_size:
        raise SettingsError(
            f"Expected embeddings of {clip.feature_size} numbers each, as '{clip.name}' makes them, but those of "
            f"{embeddings.source} have {embeddings.size}. Give the model that made them, or --model none."
        )


def trainable_rows(samples: Samples) -> Ints:
    """Rows to learn from, in the order of their content keys: the same data gives the same bits in any row order.

    Raises DataError where fewer than two classes are left.
    """
    usable = np.array([not issue for issue in samples.issues]) & (np.asarray(samples.labels) >= 0)
    order = np.argsort(samples.content_keys, kind="stable")
    rows = order[usable[order]]
    classes = np.unique(samples.labels[rows])
    if len(classes) < 2:
        raise DataError(
            f"Expected usable images of at least two classes, but found {len(rows)} of {len(classes)}; "
            "see the issue of each row, or the folder you named."
        )
    return np.asarray(rows, dtype=np.int64)


def encode_rows(
    samples: Samples,
    rows: Sequence[int] | Ints,
    tower: ImageTower | None,
    *,
    views: int,
    seed: int,
    progress: Progress | None = None,
    max_minutes: float | None = None,
    cache: Path | None = None,
) -> Features:
    """Features of the rows. With `max_minutes`, augmented views are added only while the time lasts.

    Raises SettingsError if there is no image tower to encode with.
    """
    if tower is None:
        raise SettingsError(
            "There is no model to encode images with (--model none): give their embeddings with --features, or the "
            "model that made the embeddings with --model."
        )
    return encode(
        samples, rows, tower, views=views, seed=seed, cache=cache or cache_root(), progress=progress,
        deadline=None if max_minutes is None else _too_late(max_minutes),
    )  # fmt: skip


def _too_late(minutes: float) -> Callable[[], bool]:
    """Asked before each augmented view: whether it would end after so many minutes if it takes as long as the last."""
    before = time.monotonic()
    until = before + minutes * 60

    def asked() -> bool:
        nonlocal before
        now = time.monotonic()
        ends, before = 2 * now - before, now
        return ends > until

    return asked


def write_features(
    out: Path, samples: Samples, models: Models, settings: Settings, *, progress: Progress | None = None
) -> list[Path]:
    """Write `features.safetensors` (plain (n, D), views (n, V, D), float16) and `samples.csv`, row by row the same."""
    from safetensors.numpy import save_file

    rows = samples.usable if len(samples.class_names) else readable_rows(samples)
    if not len(rows):
        raise DataError(f"Expected photographs that can be read, but found none among {len(samples)}.")
    views = settings.data.views or 0
    features = encode_rows(samples, rows, models.image, views=views, seed=settings.seed, progress=progress)
    out.mkdir(parents=True, exist_ok=True)
    arrays = {"plain": np.ascontiguousarray(features.plain), "views": np.ascontiguousarray(features.views)}
    made_by = {"model": models.fingerprint, "model_name": models.name}
    save_file(arrays, out / "features.safetensors", metadata=made_by)
    given = samples.given
    table = pd.DataFrame(
        {
            "id": [samples.ids[r] for r in rows],
            "path": [file_of(samples.paths[r]) for r in rows],
            "label": [given[r] for r in rows],
            "key": [samples.keys[r] for r in rows],
        }
    )
    table_file = write_atomic(out / "samples.csv", table.to_csv(index=False, lineterminator="\n").encode())
    return [out / "features.safetensors", table_file]


def readable_rows(samples: Samples) -> np.ndarray:
    """Rows whose picture opens, labelled or not."""
    readable = [r for r in range(len(samples)) if samples.keys[r] and samples.issues[r] in ("", NO_LABEL)]
    return np.array(readable, dtype=np.int64)


def fit(request: Request, *, stages: Stages | None = None, listeners: Sequence[Listener] = ()) -> Fitted:
    """Tune a classifier on samples whose labels are partly wrong, and audit the labels."""
    return _run(request, tune_task, FIT_VIEWS, stages, listeners)


def audit(request: Request, *, stages: Stages | None = None, listeners: Sequence[Listener] = ()) -> Fitted:
    """Audit the labels. Nothing is tuned unless the method's decision reads tuned logits."""
    return _run(request, audit_task, AUDIT_VIEWS, stages, listeners)


def _run(
    request: Request, work: Callable[..., Outcome], views: int, stages: Stages | None, listeners: Sequence[Listener]
) -> Fitted:
    settings, models = request.settings, request.models
    method = request.method or method_of(settings)  # an unknown one is refused before the encoding
    samples, decided = as_decided(request.samples, request.decisions)
    rows = trainable_rows(samples)
    verified = {at: decided[row] for at, row in enumerate(rows.tolist()) if row in decided}
    clauses, notes = describe(samples.class_names, request.descriptions)
    features = features_of(
        request, samples, rows, views if settings.data.views is None else settings.data.views, stages
    )
    source = view_source(request, samples, rows, features)
    matching = stages(MATCHING) if stages and models.matcher else None
    task = make_task(samples, rows, source, models, clauses, settings, matching)
    if stages:
        listeners = [*listeners, _reporting(stages(TUNING))]
    outcome = work(task, settings, method=method, checkpoint=request.checkpoint, listeners=listeners, verified=verified)
    if models.text is not None:
        notes += class_name_notes(samples, outcome, task)
    test = _test_images(request, stages) if request.held_out else None
    images = flag_images(samples, rows, features.rows(slice(None))[0], opened=request.features is None, stages=stages)
    clean = outcome.round.partition.group == Group.CLEAN
    outside = flagging.off_topic(source.unit_features(), clean, _class_vectors(task))
    flags = flagging.cells(images, outside, {samples.ids[row] for row in decided}, test)
    given = replace(samples, labels=np.asarray(request.samples.labels))
    said = (*samples.notes, *notes)
    return Fitted(outcome, task, make_audit(given, rows, outcome, task, settings, flags).with_notes(said), said)


def make_task(
    samples: Samples,
    rows: Ints,
    source: ViewSource,
    models: Models,
    descriptions: tuple[str | None, ...],
    settings: Settings,
    progress: Progress | None = None,
) -> Task:
    """The task of some rows. `progress` hears of the images that are encoded for the matcher."""
    match = None
    if models.matcher is not None:
        match = match_scores(samples, rows, models.matcher, descriptions, settings.model.match_by, progress)
    return Task(models, samples.class_names, descriptions, source, np.asarray(samples.labels)[rows], match)


def features_of(request: Request, samples: Samples, rows: Ints, views: int, stages: Stages | None = None) -> Features:
    """Features of the rows: the given ones, or encoded now; live crops need the plain view alone."""
    settings = request.settings
    if request.features is not None:
        return request.features.take(rows, views)
    return encode_rows(
        samples, rows, request.models.image, views=0 if settings.data.live else views, seed=settings.seed,
        progress=stages and stages(ENCODING), max_minutes=request.max_minutes, cache=request.cache,
    )  # fmt: skip


def view_source(request: Request, samples: Samples, rows: Ints, features: Features) -> ViewSource:
    """Where the views of the rows come from: their features, or live crops beside them."""
    settings, models = request.settings, request.models
    cached = CachedFeatures(features, samples.content_keys[rows], models.device)
    if not settings.data.live:
        return cached
    if models.image is None or request.features is not None:
        raise SettingsError("Live views need images and a model: leave out --features, or set live=false.")
    return LiveImages(cached, [samples.pictures(row) for row in rows], models.image, settings.seed)


def stages_of(models: Models, inputs: Inputs, held_out: Inputs | None = None) -> list[str]:
    """The stages of `fit` on these, in their order."""
    happens = {
        ENCODING: inputs.features is None,
        MATCHING: models.matcher is not None,
        TUNING: True,
        TESTING: held_out is not None and held_out.features is None,
        LOOKING: inputs.features is None,
    }
    return [stage for stage, does in happens.items() if does]


def as_decided(samples: Samples, decisions: Mapping[str, Decision]) -> tuple[Samples, dict[int, VerifiedLabel]]:
    """The samples under the labels that were decided, and the verified labels by row."""
    if not decisions:
        return samples, {}
    labels, issues = np.array(samples.labels), list(samples.issues)
    verified: dict[int, VerifiedLabel] = {}
    for row, id in enumerate(samples.ids):
        if (decision := decisions.get(id)) is None or issues[row] not in ("", NO_LABEL):
            continue
        if decision.label is None:
            issues[row] = DROPPED
        else:
            given, label = int(labels[row]), samples.class_names.index(decision.label)
            verified[row] = VerifiedLabel(label, given if given >= 0 else label)
            labels[row] = label
            issues[row] = ""
    decided = replace(samples, labels=labels, issues=tuple(issues))
    # Keys that tell equal images apart rank them by label: those of the given labels stay.
    decided.__dict__["content_keys"] = samples.content_keys
    return decided, verified


def _reporting(progress: Progress) -> Listener:
    return lambda event: progress(event.step, event.steps)


def _test_images(request: Request, stages: Stages | None) -> flagging.Photos | None:
    assert request.held_out is not None
    samples, given = request.held_out.samples, request.held_out.features
    rows = readable_rows(samples)
    if not len(rows):
        return None
    found = given.take(rows, 0) if given else encode_rows(
        samples, rows, request.models.image, views=0, seed=request.settings.seed,
        progress=stages and stages(TESTING), cache=request.cache,
    )  # fmt: skip
    return flag_images(samples, rows, found.rows(slice(None))[0], opened=given is None)


def flag_images(
    samples: Samples, rows: Ints, plain: np.ndarray, *, opened: bool, stages: Stages | None = None
) -> flagging.Photos:
    """The rows as flags need them; plain (len(rows), D) are their features. An image that is not `opened` shows
    nothing that only pixels tell."""
    seen = appearance(samples, rows, stages and stages(LOOKING)) if opened else unseen(len(rows))
    given = samples.given
    return flagging.Photos(
        ids=tuple(samples.ids[row] for row in rows),
        given=tuple(given[row] for row in rows),
        keys=tuple(samples.keys[row] for row in rows),
        features=plain,
        looks=seen.looks,
        defects=seen.defects,
    )


def class_name_notes(samples: Samples, outcome: Outcome, task: Task) -> list[str]:
    """Warnings where class names look like codes, or where the model hardly knows them."""
    notes = []
    codes = looks_like_codes(samples.class_names)
    if codes:
        notes.append(f"Class names that look like codes ({', '.join(codes[:5])}): give words with --names FILE.")
    agreement = float((outcome.predicted["zero_shot"] == task.labels).mean())
    if agreement < NEAR_CHANCE / len(samples.class_names):
        notes.append(
            f"The untuned model agrees with {agreement:.0%} of the labels, near chance: it may not know these class "
            "names. Give plain words with --names FILE, or another --model."
        )
    return notes


def _class_vectors(task: Task) -> np.ndarray | None:
    """(C, D) class vectors of the untuned model, where there are any."""
    head = untuned_head(task)
    return None if head is None else head.weights.cpu().numpy()


def make_audit(
    samples: Samples,
    rows: Ints,
    outcome: Outcome,
    task: Task,
    settings: Settings,
    flags: Mapping[str, str | None] | None = None,
) -> Audit:
    """The last round beside the user's rows; `rows` (N,) are the rows of the task's samples."""
    used: dict[str, Any] = {
        **settings.flat(),
        "matcher": task.models.matcher.name if task.models.matcher else "none",
        "model_fingerprint": task.models.fingerprint,
        "views": task.source.augmented,
        "text_passes": outcome.text_passes,
        "versions": versions(),
    }
    return Audit.of(
        user_rows(samples), rows, outcome.round, used, predicted=outcome.predicted, flags=flags,
        features=task.source.unit_features(),
    )  # fmt: skip


def user_rows(samples: Samples) -> Rows:
    """The samples as the audit lists them."""
    return Rows(
        ids=samples.ids,
        paths=tuple(map(file_of, samples.paths)),
        given=np.asarray(samples.labels),
        class_names=samples.class_names,
        issues=samples.issues,
    )


def thumbnails(samples: Samples) -> Callable[[int], bytes | None]:
    """Thumbnails for the page, by row; None where the picture does not open."""

    def thumbnail(row: int) -> bytes | None:
        try:
            return jpeg(open_rgb(samples.paths[row], at_least=128))
        except DataError:
            return None

    return thumbnail
