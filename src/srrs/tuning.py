"""What is tuned on, made of the user's rows, and the tuning that the settings ask for."""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from srrs.config import LEARNING_RATE, Settings
from srrs.core.discriminant import out_of_fold
from srrs.core.keyed import content_keys, folds
from srrs.core.labels import one_hot
from srrs.data.images import WORKERS, open_rgb, quiet
from srrs.data.samples import Progress, Samples
from srrs.data.store import Features
from srrs.methods.spec import method as method_named
from srrs.methods.stages import Learner, Method
from srrs.methods.trusted import Settled, trusting
from srrs.models.base import Matcher, Models
from srrs.models.matcher import MatchKind, MemoisedScores
from srrs.models.vectors import Vectors, class_means
from srrs.prompts.descriptions import bundled_descriptions, load_descriptions, match_descriptions
from srrs.prompts.learner import ClassLearner, LinearProbe, PromptLearner, TaskResidual, zero_shot_weights
from srrs.prompts.templates import MICRO
from srrs.train.events import Listener
from srrs.train.loop import Tuned, tune
from srrs.train.task import Schedule, Task

MATCHER_BATCH = 64
WITNESS_TEMPER = 0.3
"""Power of the likelihood of the Gaussian classes that stand for a zero-shot prediction, chosen on the development
classes: at less, the estimated noise rate is too low, as what the classes look like counts for too little."""


def describe(class_names: Sequence[str], path: Path | None) -> tuple[tuple[str | None, ...], list[str]]:
    """A description per class, from the user's file or from the bundled ones, and notes on what is missing."""
    table = load_descriptions(path) if path else bundled_descriptions()
    matched = match_descriptions(class_names, table)
    note = matched.note()
    return matched.clauses, [note] if note else []


def matcher_states(
    samples: Samples, rows: np.ndarray, matcher: Matcher, progress: Progress | None = None
) -> torch.Tensor:
    """The matcher's image side of each row's picture: (len(rows), tokens, width), float16."""
    states = []
    with quiet(), ThreadPoolExecutor(WORKERS) as pool:
        for start in range(0, len(rows), MATCHER_BATCH):
            paths = [samples.paths[r] for r in rows[start : start + MATCHER_BATCH]]
            states.append(matcher.encode_images(list(pool.map(open_rgb, paths))))
            if progress:
                progress(start + len(paths), len(rows))
    return torch.cat(states)


def match_texts(class_names: Sequence[str], descriptions: Sequence[str | None]) -> list[str]:
    """What a picture is matched with: each class's described prompt."""
    return [MICRO.text(name, clause) for name, clause in zip(class_names, descriptions, strict=True)]


def match_scores(
    samples: Samples,
    rows: np.ndarray,
    matcher: Matcher,
    descriptions: Sequence[str | None],
    kind: MatchKind = "itm",
    progress: Progress | None = None,
) -> MemoisedScores:
    """Scores of each row's picture with each class's described prompt; every picture is encoded once."""
    states = matcher_states(samples, rows, matcher, progress)
    return MemoisedScores(matcher, states, match_texts(samples.class_names, descriptions), kind=kind)


def make_task(
    samples: Samples,
    rows: np.ndarray,
    features: Features,
    models: Models,
    descriptions: tuple[str | None, ...],
    match_by: MatchKind = "itm",
    progress: Progress | None = None,
) -> Task:
    """What is tuned on: the rows, with their features and, where there is a matcher, its scores. `progress` hears of
    the pictures that are encoded for it."""
    matcher = models.matcher
    return Task(
        model=models.clip,
        class_names=samples.class_names,
        descriptions=descriptions,
        ids=tuple(samples.ids[r] for r in rows),
        labels=np.asarray(samples.labels)[rows],
        plain=np.asarray(features.plain, dtype=np.float32),
        views=np.asarray(features.views, dtype=np.float32),
        match=match_scores(samples, rows, matcher, descriptions, match_by, progress) if matcher else None,
    )


def relabelled(task: Task, labels: np.ndarray) -> Task:
    """The same pictures with other given labels."""
    return replace(task, labels=labels)


def make_learners(method: Method, task: Task, settings: Settings) -> list[ClassLearner]:
    """The learners of the method, in its order, before the first step."""
    generators = [torch.Generator().manual_seed(settings.seed * 1009 + at) for at in range(len(method.learners))]
    return [
        LinearProbe(len(task.class_names), task.plain.shape[1], task.model.device)
        if learner.kind == "linear"
        else _residual(learner, task.model, generators[number] if number else None)
        if isinstance(task.model, Vectors)
        else PromptLearner(
            task.model,
            task.class_names,
            context=learner.words or settings.tuning.random_context or settings.tuning.words,
            class_specific=settings.tuning.context == "class" if learner.shared is None else not learner.shared,
            prompts=learner.prompts or settings.tuning.prompts,
            position=settings.tuning.class_position,
            descriptions=task.descriptions if learner.kind == "described" else None,
            generator=generators[number],
        )
        for number, learner in enumerate(method.learners)
    ]


def _residual(learner: Learner, vectors: Vectors, generator: torch.Generator | None) -> TaskResidual:
    """Class vectors to tune; where two learners would begin alike, the second one is jittered."""
    if learner.kind == "described" and vectors.described_vectors is not None:
        return TaskResidual(vectors.described_vectors)
    return TaskResidual(_class_vectors(vectors), generator)


def _class_vectors(vectors: Vectors) -> torch.Tensor:
    if vectors.class_vectors is None:
        raise ValueError("class vectors must be given, or made by `without_tower`")
    return vectors.class_vectors


def untuned_weights(task: Task) -> torch.Tensor:
    """(C, D) class weights of the untuned model: its class prompt, or the class vectors."""
    if isinstance(task.model, Vectors):
        return _class_vectors(task.model)
    return zero_shot_weights(task.model, task.class_names)


def without_tower(task: Task) -> tuple[Task, list[str]]:
    """A task on embeddings alone: class means stand for class vectors that are not there, and a note says so.

    The zero-shot prediction is then that of Gaussian classes fitted to the given labels of the other folds, which takes
    embeddings of any shape and spread. It knows other labels, though never the sample's own, so it is no independent
    witness as a text tower is.
    """
    if not isinstance(task.model, Vectors) or task.model.class_vectors is not None:
        return task, []
    labels, classes = np.asarray(task.labels), len(task.class_names)
    seen = np.asarray(task.mean_view_of(slice(None)).cpu())
    fold = folds(content_keys(task.plain), 5, 0)
    believed = out_of_fold(seen, one_hot(labels, classes), fold, temper=WITNESS_TEMPER).astype(np.float32)
    means = class_means(torch.from_numpy(np.asarray(task.plain)), torch.from_numpy(labels), classes)
    note = (
        "There are no class vectors: class means stand for them, and what is called zero_shot is what the labels of "
        "other photographs say. Mistakes that many photographs of a class share go unnoticed."
    )
    return replace(task, model=task.model.with_classes(means), zero_shot=believed), [note]


def tune_task(
    task: Task,
    settings: Settings,
    *,
    checkpoint: Path | None = None,
    listeners: Sequence[Listener] = (),
    knowledge: Mapping[str, Any] | None = None,
    decided: Mapping[str, Settled] | None = None,
) -> Tuned:
    """Tune the method that the settings name on the task.

    `knowledge` is told to a method that asks for it; `decided` holds the rows, by id, whose label is certain.
    """
    method = trusting(method_named(settings.tuning.method, knowledge), decided or {})
    asked = settings.schedule
    schedule = Schedule(asked.steps, asked.batch, asked.views_per_step, asked.learning_rate or LEARNING_RATE)
    return tune(
        method, task, make_learners(method, task, settings), untuned_weights(task), schedule, settings.seed,
        checkpoint=checkpoint, fingerprint=run_fingerprint(task, settings, decided), listeners=listeners,
    )  # fmt: skip


def run_fingerprint(task: Task, settings: Settings, decided: Mapping[str, Settled] | None = None) -> str:
    """Changes with anything that changes the run."""
    digest = hashlib.sha256(settings.digest_text().encode())
    digest.update(json.dumps(versions()).encode())
    digest.update(task.model.fingerprint.encode())
    if isinstance(task.model, Vectors):
        digest.update(_class_vectors(task.model).cpu().numpy().tobytes())
    for text in (*task.class_names, *(d or "" for d in task.descriptions)):
        digest.update(text.encode() + b"\0")
    for array in (task.keys, np.asarray(task.labels, np.int64), np.array(task.views.shape)):
        digest.update(np.ascontiguousarray(array).tobytes())
    if decided:
        digest.update(repr(sorted((id, one.label, one.given) for id, one in decided.items())).encode())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of what decides the bits."""
    packages = ("srrs", "torch", "transformers", "numpy", "scikit-learn", "pillow")
    return {"python": platform.python_version(), **{p: importlib.metadata.version(p) for p in packages}}
