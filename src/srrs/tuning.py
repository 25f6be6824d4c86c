"""Functions that build the training task of a user's dataset, and run the configured method on it.

N samples, C classes.
"""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from srrs.code import code_digest
from srrs.config import LEARNING_RATE, Settings
from srrs.data.images import WORKERS, open_rgb, quiet
from srrs.data.samples import Progress, Samples
from srrs.errors import SettingsError
from srrs.features.source import ViewSource
from srrs.mapped import empty, release
from srrs.methods.spec import method as method_named
from srrs.methods.stages import Method, TunerSpec
from srrs.methods.trusted import VerifiedLabel, trusting
from srrs.models.base import ClassVectors, Matcher, Models
from srrs.models.matcher import MatchKind, MemoizedScores
from srrs.prompts.descriptions import bundled_descriptions, load_descriptions, match_descriptions
from srrs.prompts.templates import MICRO
from srrs.records import Floats, Ints, MatchScores
from srrs.training.events import Listener
from srrs.training.evidence import Question
from srrs.training.loop import Outcome, train
from srrs.training.schedule import Schedule
from srrs.tuners import ClassPrompt, Foundation, Head, Tuner, build, tuner_class
from srrs.tuners.prompt import zero_shot_weights

MATCHER_BATCH = 64
"""Number of images that the matcher encodes at a time."""
FINGERPRINTED = 1024
"""The fingerprint of a run contains the features of about this number of samples, which are evenly spaced."""


@dataclass(frozen=True)
class Task:
    """N usable samples, in the order of the view source, with the frozen models and the names of the C classes."""

    models: Models
    """The loaded models."""
    class_names: tuple[str, ...]
    """(C,) the class names in prompts."""
    descriptions: tuple[str | None, ...]
    """(C,) the description of each class in the described prompt; None if there is no description."""
    source: ViewSource
    """The view source of the samples."""
    labels: Ints
    """(N,) given labels."""
    match: MatchScores | None = None
    """The scores of the image-text matcher; None without a matcher."""

    def relabeled(self, labels: Ints) -> "Task":
        """Return the task with other given labels (N,)."""
        return replace(self, labels=labels)


def describe(class_names: Sequence[str], path: Path | None) -> tuple[tuple[str | None, ...], list[str]]:
    """Return the description of each class, None for a class without one, and notes on missing descriptions.

    They come from the user's file at `path` or, without one, from this package. Raises DataError if the file cannot be
    used.
    """
    table = load_descriptions(path) if path else bundled_descriptions()
    matched = match_descriptions(class_names, table)
    note = matched.note()
    return matched.clauses, [note] if note else []


def matcher_states(samples: Samples, rows: Ints, matcher: Matcher, progress: Progress | None = None) -> torch.Tensor:
    """Return the matcher's encoding of some images: (n, tokens, width), float16, on disk if it is large.

    Parameters
    ----------
    samples : the samples of all rows.
    rows : (n,) the rows of the dataset, at least one. Their images must be usable.
    matcher : the image-text matcher.
    progress : called as images are encoded.

    Raises
    ------
    DataError
        An image cannot be read.
    ValueError
        There are no rows.
    """
    states: np.ndarray | None = None
    with quiet(), ThreadPoolExecutor(WORKERS) as pool:
        for start in range(0, len(rows), MATCHER_BATCH):
            paths = [samples.paths[row] for row in rows[start : start + MATCHER_BATCH]]
            encoded = matcher.encode_images(list(pool.map(open_rgb, paths))).numpy()
            if states is None:
                states = empty((len(rows), *encoded.shape[1:]), encoded.dtype)
            states[start : start + len(paths)] = encoded
            release(states)
            if progress:
                progress(start + len(paths), len(rows))
    if states is None:
        raise ValueError("expected at least one row")
    return torch.from_numpy(states)


def match_texts(class_names: Sequence[str], descriptions: Sequence[str | None]) -> list[str]:
    """Return the text for each class that the matcher compares with images: the described prompt."""
    return [MICRO.text(name, clause) for name, clause in zip(class_names, descriptions, strict=True)]


def match_scores(
    samples: Samples,
    rows: Ints,
    matcher: Matcher,
    descriptions: Sequence[str | None],
    kind: MatchKind = "itm",
    progress: Progress | None = None,
) -> MemoizedScores:
    """Return the matcher scores of n images with the described prompts of C classes. Every image is encoded once.

    A score is computed when it is first read.

    Parameters
    ----------
    samples : the samples of all rows.
    rows : (n,) the rows of the dataset whose images are scored.
    matcher : the image-text matcher.
    descriptions : (C,) the description of each class; None for a class without one.
    kind : matching head (itm) or contrastive similarity (itc).
    progress : called as images are encoded.

    Raises
    ------
    DataError
        An image cannot be read.
    """
    states = matcher_states(samples, rows, matcher, progress)
    return MemoizedScores(matcher, states, match_texts(samples.class_names, descriptions), kind=kind)


def untuned_head(task: Task) -> Head | None:
    """Return the untuned classifier, from class prompts of the model or from class vectors; None without either."""
    models = task.models
    if models.text is not None:
        return Head(zero_shot_weights(models.text, task.class_names), models.logit_scale)
    vectors = models.class_vectors.plain if models.class_vectors else None
    return None if vectors is None else Head(vectors.to(models.device), models.logit_scale)


def untuned_probs(task: Task) -> Floats:
    """Return the probabilities (N, C) of the untuned classifier. Raises ValueError if there is none."""
    probs = Question(task.source, task.labels, len(task.class_names), untuned_head(task)).untuned()
    if probs is None:
        raise ValueError("expected a text tower or class vectors, but there are none")
    return probs


def specs_for(method: Method, task: Task, untuned: Head | None) -> tuple[TunerSpec, ...]:
    """Return the tuners that the method uses with the models of the task.

    Without a text tower, prompts cannot be tuned. If the method has prompt tuners, it then uses the tuners in its field
    `text_free` instead. Without class vectors, tuners that correct class vectors are left out. Raises SettingsError if
    no tuner is left.

    Parameters
    ----------
    method : the method.
    task : the training task.
    untuned : the untuned classifier; None without class vectors.
    """
    if task.models.text is not None:
        return method.tuners
    specs = [spec for spec in method.tuners if not issubclass(tuner_class(spec.kind), ClassPrompt)]
    specs = specs if len(specs) == len(method.tuners) else list(method.text_free)
    kept = [spec for spec in specs if untuned is not None or not tuner_class(spec.kind).corrects_vectors]
    if not kept and method.tuners:
        raise SettingsError(
            f"The method {method.name!r} tunes prompts, but there is no text tower (--model none): give a model, or a "
            "method that tunes on features alone, such as srrs or linear-probe."
        )
    return tuple(kept)


def make_tuners(specs: Sequence[TunerSpec], task: Task, untuned: Head | None, settings: Settings) -> list[Tuner]:
    """Return the tuners in their initial state, in the order of `specs`. Each has its own random generator.

    `untuned` is the untuned classifier; None without class vectors.
    """
    vectors, prompts = task.models.class_vectors, prompt_options(settings)
    tuners = []
    for at, spec in enumerate(specs):
        foundation = Foundation(
            class_names=task.class_names,
            feature_size=task.source.feature_size,
            logit_scale=task.models.logit_scale,
            device=task.models.device,
            text=task.models.text,
            class_vectors=untuned.weights if untuned else None,
            described_vectors=vectors.described if vectors else None,
            descriptions=task.descriptions,
            generator=torch.Generator().manual_seed(settings.seed * 1009 + at),
        )
        own = prompts if issubclass(tuner_class(spec.kind), ClassPrompt) else {}
        tuner = build(spec.kind, foundation, {**own, **spec.options})
        if spec.learning_rate is not None:
            tuner.learning_rate = spec.learning_rate
        tuners.append(tuner)
    return tuners


def prompt_options(settings: Settings) -> dict[str, Any]:
    """Return the options of prompt tuners from the settings."""
    chosen = settings.tuning
    return {
        "words": chosen.words,
        "random": chosen.random_context,
        "shared": chosen.context == "shared",
        "prompts": chosen.prompts,
        "position": chosen.class_position,
    }


def schedule_of(settings: Settings, method: Method) -> Schedule:
    """Return the schedule. The learning rate of the settings, or else of the method, scales the rates of all tuners."""
    chosen = settings.schedule
    rate = chosen.learning_rate or method.learning_rate or LEARNING_RATE
    return Schedule(chosen.steps, chosen.batch, chosen.views_per_step, rate / LEARNING_RATE)


def method_of(settings: Settings, knowledge: Mapping[str, Any] | None = None) -> Method:
    """Return the method that the settings name. Raises SettingsError if it is unknown or lacks a fact.

    `knowledge` contains facts about the data, such as `noise_rate`, for methods that require them.
    """
    return method_named(settings.tuning.method, {"trust": settings.trust, **(knowledge or {})})


def tune_task(
    task: Task,
    settings: Settings,
    *,
    method: Method | None = None,
    checkpoint: Path | None = None,
    listeners: Sequence[Listener] = (),
    knowledge: Mapping[str, Any] | None = None,
    verified: Mapping[int, VerifiedLabel] | None = None,
) -> Outcome:
    """Tune the method on the task, and return the result.

    Parameters
    ----------
    task : the training task.
    settings : the settings of the run.
    method : the method; by default the one that the settings name.
    checkpoint : folder in which the run saves its state, and from which it continues.
    listeners : functions that are called with each event of the training.
    knowledge : facts about the data, such as the noise rate, for a method that requires them.
    verified : labels that a person has verified, by the position of the sample in the task.

    Raises
    ------
    SettingsError
        The method is unknown, or does not work with the models of the task.
    """
    untuned = untuned_head(task)
    method = trusting(method or method_of(settings, knowledge), verified or {})
    method = replace(method, tuners=specs_for(method, task, untuned))
    tuners = make_tuners(method.tuners, task, untuned, settings)
    return _train(task, method, tuners, untuned, settings, checkpoint, listeners, verified)


def audit_task(
    task: Task,
    settings: Settings,
    *,
    method: Method | None = None,
    checkpoint: Path | None = None,
    listeners: Sequence[Listener] = (),
    verified: Mapping[int, VerifiedLabel] | None = None,
) -> Outcome:
    """Audit the labels of the task, and return the result. Tuners are trained only if a stage reads their logits.

    The parameters and errors are those of `tune_task`.
    """
    method = method or method_of(settings)
    if "logits" in method.reads:
        return tune_task(task, settings, method=method, checkpoint=checkpoint, listeners=listeners, verified=verified)
    return _train(task, trusting(method, verified or {}), [], untuned_head(task), settings, None, listeners, verified)


def _train(
    task: Task,
    method: Method,
    tuners: Sequence[Tuner],
    untuned: Head | None,
    settings: Settings,
    checkpoint: Path | None,
    listeners: Sequence[Listener],
    verified: Mapping[int, VerifiedLabel] | None,
) -> Outcome:
    """Train the tuners with the method. Raises SettingsError if it needs predictions that cannot be computed."""
    if untuned is None and method.requires & {"zero_shot", "class_vectors"}:
        raise SettingsError(
            f"The method {method.name!r} reads zero-shot predictions, but without class vectors there are none: give "
            "a model, class vectors beside the embeddings, or the method srrs."
        )
    if untuned is None and task.match is not None and "match" in method.reads:
        raise SettingsError(
            "The matcher scores the classes that zero-shot prediction finds likely, but without class vectors there is "
            "no such prediction: give a model or class vectors beside the embeddings, or --matcher none."
        )
    return train(
        method, tuners, task.source, task.labels, schedule_of(settings, method),
        classes=len(task.class_names), zero_shot=untuned, match=task.match, seed=settings.seed, listeners=listeners,
        checkpoint=checkpoint, fingerprint=run_fingerprint(task, method, settings, verified) if checkpoint else "",
    )  # fmt: skip


def run_fingerprint(
    task: Task, method: Method, settings: Settings, verified: Mapping[int, VerifiedLabel] | None = None
) -> str:
    """Return a digest of everything on which the result of the run depends, apart from the hardware."""
    digest = hashlib.sha256(settings.digest_text().encode())
    digest.update(json.dumps([versions(), code_digest()]).encode())
    digest.update(repr([method.name, *(spec.name for spec in method.tuners)]).encode())
    digest.update(f"{task.models.fingerprint} {task.models.logit_scale!r}".encode())
    classes = task.models.class_vectors or ClassVectors()
    for vectors in (classes.plain, classes.described):
        digest.update(b"none" if vectors is None else vectors.cpu().numpy().tobytes())
    # The keys of embeddings are their ids. Other embeddings may have the same ids, so that features are added.
    some = task.source.mean_view(slice(None, None, max(1, len(task.labels) // FINGERPRINTED)))
    digest.update(some.cpu().numpy().tobytes())
    for text in (*task.class_names, *(d or "" for d in task.descriptions)):
        digest.update(text.encode() + b"\0")
    views = -1 if task.source.augmented is None else task.source.augmented
    for array in (task.source.keys, np.asarray(task.labels, np.int64), np.array([views, len(task.labels)])):
        digest.update(np.ascontiguousarray(array).tobytes())
    if verified:
        digest.update(repr(sorted((key, one.label, one.given) for key, one in verified.items())).encode())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages on which results depend, by name."""
    packages = ("srrs", "torch", "transformers", "numpy", "scikit-learn", "pillow")
    return {"python": platform.python_version(), **{p: importlib.metadata.version(p) for p in packages}}
