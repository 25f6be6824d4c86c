"""From the user's rows to a tuned classifier and its audit: the one place where data, models and methods meet."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from srrs.audit import flags as flagging
from srrs.audit.decisions import Decision
from srrs.audit.files import write_atomic
from srrs.audit.report import jpeg
from srrs.audit.table import Audit, Rows
from srrs.config import FIT_VIEWS, Settings
from srrs.data.appearance import appearance, unseen
from srrs.data.embeddings import Embeddings
from srrs.data.images import open_rgb
from srrs.data.inputs import Inputs
from srrs.data.pictures import file_of
from srrs.data.samples import NO_LABEL, Progress, Samples, looks_like_codes
from srrs.data.store import Features, cache_root, encode
from srrs.errors import DataError, SettingsError
from srrs.methods.spec import method as method_named
from srrs.methods.trusted import Settled
from srrs.models.base import Models, VisionLanguage
from srrs.models.vectors import NONE, Vectors
from srrs.train.events import Listener
from srrs.train.loop import Tuned
from srrs.train.task import Task
from srrs.tuning import describe, make_task, tune_task, versions, without_tower

Stages = Callable[[str], Progress]
"""Starts a stage of `fit` by its name, and gives what it reports to."""
ENCODING, MATCHING, TUNING, LOOKING, TESTING = (
    "Encoding views", "Encoding for the matcher", "Tuning", "Looking for flaws", "Encoding test photographs",
)  # fmt: skip
NEAR_CHANCE = 2.0  # zero-shot agreement below this many times chance is worth a warning
DROPPED = "left out by decision"


@dataclass(frozen=True)
class Fitted:
    """A tuned classifier and its audit."""

    tuned: Tuned
    task: Task
    audit: Audit
    notes: tuple[str, ...]


def load_models(settings: Settings, embeddings: Embeddings | None = None) -> Models:
    """The dual encoder and the matcher the settings name.

    With embeddings, no picture needs to be there: the matcher is then only loaded where it is named, and the model
    `none` stands for the class vectors. Raises SettingsError where the model is not the one that made the embeddings,
    as far as they say.
    """
    from srrs.models.device import choose_device
    from srrs.models.hub import load_model
    from srrs.models.matcher import load_matcher

    matcher = NONE if embeddings and settings.model.matcher == "auto" else settings.model.matcher
    if settings.model.name != NONE:
        clip = load_model(settings.model.name, settings.model.device, settings.model.precision)
        if embeddings:
            check_made_by(embeddings, clip)
        return Models.of(clip, load_matcher(matcher, settings.model.name, settings.model.device))
    if embeddings is None:
        raise SettingsError("Without a model (--model none) there must be embeddings: give them with --features FILE.")
    classes, device = embeddings.classes, choose_device(settings.model.device)
    given, described = (classes.plain, classes.described) if classes else (None, None)
    vectors = Vectors(
        embeddings.size,
        None if given is None else torch.from_numpy(given),
        None if described is None else torch.from_numpy(described),
        logit_scale=classes.logit_scale if classes else None,
        fingerprint=embeddings.model,
        device=device,
    )
    return Models.of(vectors, load_matcher(matcher, settings.model.name, settings.model.device))


def check_made_by(embeddings: Embeddings, clip: VisionLanguage) -> None:
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


def trainable_rows(samples: Samples) -> np.ndarray:
    """Rows that can be learned from, in canonical order: equal data gives equal bits, whatever the order of the rows.

    Raises DataError where too little is left.
    """
    usable = np.isin(np.arange(len(samples)), samples.usable) & (np.asarray(samples.labels) >= 0)
    rows = np.array([r for r in samples.canonical_order() if usable[r]], dtype=np.int64)
    classes = np.unique(samples.labels[rows])
    if len(classes) < 2:
        raise DataError(
            f"Expected usable photographs of at least two classes, but found {len(rows)} of {len(classes)}; "
            "see the issue of each row, or the folder you named."
        )
    return rows


def encode_rows(
    samples: Samples,
    rows: Sequence[int] | np.ndarray,
    models: Models,
    settings: Settings,
    *,
    views: int,
    progress: Progress | None = None,
    minutes: float | None = None,
    cache: Path | None = None,
) -> Features:
    """Features of the rows; with `minutes`, augmented views are added only while the time lasts."""
    return encode(
        samples, rows, models.clip, views=views, seed=settings.seed, cache=cache or cache_root(),
        progress=progress, deadline=None if minutes is None else _too_late(minutes),
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
    features = encode_rows(samples, rows, models, settings, views=settings.views(FIT_VIEWS), progress=progress)
    out.mkdir(parents=True, exist_ok=True)
    arrays = {"plain": np.ascontiguousarray(features.plain), "views": np.ascontiguousarray(features.views)}
    made_by = {"model": models.clip.fingerprint, "model_name": models.clip.name}
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


def fit(
    samples: Samples,
    models: Models,
    settings: Settings,
    *,
    descriptions: Path | None = None,
    minutes: float | None = None,
    cache: Path | None = None,
    checkpoint: Path | None = None,
    stages: Stages | None = None,
    listeners: Sequence[Listener] = (),
    features: Features | None = None,
    decisions: Mapping[str, Decision] | None = None,
    held_out: Inputs | None = None,
) -> Fitted:
    """Tune on checked samples, and audit their labels.

    `features` (N, D) and (N, V, D) of all rows take the place of encoding their pictures. `decisions`, by id, are taken
    for certain: labels that were kept or chosen are learned as such, dropped photographs left out. `held_out` are
    checked test samples, among which duplicates are looked for. `stages` hears of each of `stages_of`.
    """
    method_named(settings.tuning.method)  # an unknown one is refused before minutes of encoding
    given = np.asarray(samples.labels)
    samples, decided = as_decided(samples, decisions or {})
    rows = trainable_rows(samples)
    clauses, notes = describe(samples.class_names, descriptions)
    chosen = features.take(rows, settings.views(FIT_VIEWS)) if features else encode_rows(
        samples, rows, models, settings, views=settings.views(FIT_VIEWS), progress=stages and stages(ENCODING),
        minutes=minutes, cache=cache,
    )  # fmt: skip
    matching = stages(MATCHING) if stages and models.matcher else None
    task, remarks = without_tower(make_task(samples, rows, chosen, models, clauses, settings.model.match_by, matching))
    if stages:
        listeners = [*listeners, _reporting(stages(TUNING))]
    tuned = tune_task(task, settings, checkpoint=checkpoint, listeners=listeners, decided=decided)
    notes = remarks if isinstance(task.model, Vectors) else notes + class_name_notes(samples, tuned)
    test = _test_photos(held_out, models, settings, cache, stages) if held_out else None
    outside = flagging.off_topic(tuned.round, tuned.zero_shot.cpu().numpy())
    photos = flag_photos(samples, rows, task.plain, opened=features is None, stages=stages)
    flags = flagging.cells(photos, outside, decided, test)
    audit = make_audit(replace(samples, labels=given), tuned, task, models, settings, flags)
    return Fitted(tuned, task, audit, (*samples.notes, *notes))


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


def as_decided(samples: Samples, decisions: Mapping[str, Decision]) -> tuple[Samples, dict[str, Settled]]:
    """The samples under the labels that were decided, and the decided rows that are left, by id."""
    labels, issues = np.array(samples.labels), list(samples.issues)
    decided: dict[str, Settled] = {}
    for row, id in enumerate(samples.ids):
        if (decision := decisions.get(id)) is None or issues[row] not in ("", NO_LABEL):
            continue
        if decision.label is None:
            issues[row] = DROPPED
        else:
            given, label = int(labels[row]), samples.class_names.index(decision.label)
            decided[id] = Settled(label, given if given >= 0 else label)
            labels[row] = label
            issues[row] = ""
    return replace(samples, labels=labels, issues=tuple(issues)), decided


def _reporting(progress: Progress) -> Listener:
    return lambda event: progress(event.step, event.steps)


def _test_photos(
    held_out: Inputs, models: Models, settings: Settings, cache: Path | None, stages: Stages | None
) -> flagging.Photos | None:
    samples, given = held_out.samples, held_out.features
    rows = readable_rows(samples)
    if not len(rows):
        return None
    found = given.take(rows, 0) if given else encode_rows(
        samples, rows, models, settings, views=0, progress=stages and stages(TESTING), cache=cache
    )  # fmt: skip
    return flag_photos(samples, rows, found.plain, opened=given is None)


def flag_photos(
    samples: Samples, rows: np.ndarray, plain: np.ndarray, *, opened: bool, stages: Stages | None = None
) -> flagging.Photos:
    """The rows as flags need them; plain (len(rows), D) are their features. Pictures that are not `opened` show none of
    what only pixels tell."""
    seen = appearance(samples, rows, stages and stages(LOOKING)) if opened else unseen(len(rows))
    return flagging.Photos(
        ids=tuple(samples.ids[row] for row in rows),
        given=tuple(samples.given[row] for row in rows),
        keys=tuple(samples.keys[row] for row in rows),
        features=np.asarray(plain, np.float32),
        looks=seen.looks,
        defects=seen.defects,
    )


def class_name_notes(samples: Samples, tuned: Tuned) -> list[str]:
    """Warnings where class names look like codes, or where the model hardly knows them."""
    notes = []
    codes = looks_like_codes(samples.class_names)
    if codes:
        notes.append(f"Class names that look like codes ({', '.join(codes[:5])}): give words with --names FILE.")
    evidence = tuned.round.evidence
    agreement = float((evidence.zero_shot.argmax(1) == evidence.labels).mean())
    if agreement < NEAR_CHANCE / len(samples.class_names):
        notes.append(
            f"The untuned model agrees with {agreement:.0%} of the labels, near chance: it may not know these class "
            "names. Give plain words with --names FILE, or another --model."
        )
    return notes


def make_audit(
    samples: Samples,
    tuned: Tuned,
    task: Task,
    models: Models,
    settings: Settings,
    flags: Mapping[str, str | None] | None = None,
) -> Audit:
    """The last round beside the user's rows."""
    rows = user_rows(samples)
    used: dict[str, Any] = {
        **settings.flat(),
        "matcher": models.matcher.name if models.matcher else "none",
        "model_fingerprint": models.clip.fingerprint,
        "views": int(task.views.shape[1]),
        "text_passes": tuned.text_passes,
        "versions": versions(),
    }
    place = {id: row for row, id in enumerate(samples.ids)}
    given = rows.given[[place[id] for id in task.ids]]  # what was tuned on may be the decided labels
    last = replace(tuned.round, evidence=replace(tuned.round.evidence, labels=given))
    return Audit.of(rows, last, used, flags=flags)


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
            return jpeg(open_rgb(samples.paths[row], at_least=96))
        except DataError:
            return None

    return thumbnail
