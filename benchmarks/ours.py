"""Our way of doing the work, through the package's own parts.

N samples, C classes, V augmented views, D feature size.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import normalize

from common import summary, synchronise
from srrs.config import Settings
from srrs.features.cached import CachedFeatures
from srrs.methods import zoo
from srrs.methods.baselines import coop_two
from srrs.methods.stages import LabeledBatch, Method
from srrs.models.base import Models
from srrs.models.dual import DualEncoder
from srrs.records import Features, MatchScores
from srrs.training.events import Event, Listener
from srrs.training.loop import train
from srrs.training.schedule import Schedule
from srrs.tuners import Tuner
from srrs.tuning import Task, make_tuners, schedule_of, untuned_head
from words import class_names, descriptions

SEED = 1


def stepping() -> Method:
    """Two learners and the published loss, without any decision on the labels: a step is measured, not a method."""
    return replace(coop_two(), name="step", loss=zoo.srrs_paper().loss)


def pictures(count: int, size: tuple[int, int], seed: int = SEED) -> list[Image.Image]:
    """Photographs of noise, (height, width) pixels."""
    values = np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8)
    return [Image.fromarray(value) for value in values]


def task_of(model: DualEncoder, classes: int, views: Tensor, match: MatchScores | None = None) -> Task:
    """A task on features (N, 1 + V, D), the plain view first, with given labels drawn at random."""
    features = views.cpu().numpy()
    labels = np.random.default_rng(SEED).integers(0, classes, len(features))
    source = CachedFeatures(
        Features(features[:, 0], features[:, 1:]), np.arange(len(features), dtype=np.uint64), model.device
    )
    return Task(Models.of(model), class_names(classes), descriptions(classes), source, labels, match)


def random_views(model: DualEncoder, samples: int, views: int) -> Tensor:
    """Unit features (N, 1 + V, D): what a step costs does not depend on what they show."""
    draw = torch.Generator().manual_seed(SEED)
    return normalize(torch.randn(samples, 1 + views, model.feature_size, generator=draw), dim=-1)


def step_seconds(task: Task, settings: Settings, steps: int) -> float:
    """Median seconds of a step in a run of the loop. The first, which follows a screening, is left out."""
    stamps: list[float] = []

    def listen(event: Event) -> None:
        if event.kind == "step":
            synchronise(task.models.device)
            stamps.append(time.perf_counter())

    run(stepping(), task, replace(schedule_of(settings, stepping()), steps=steps + 1), settings, [listen])
    return summary([after - before for before, after in pairwise(stamps)]).median


def first_step(task: Task, settings: Settings) -> tuple[Tensor, LabeledBatch, list[Tensor]]:
    """Logits of the first step of a run, its batch, and the gradient of each tuner's context."""
    method, seen = stepping(), []

    def recording(logits: Tensor, batch: LabeledBatch) -> Tensor:
        seen.append((logits.detach(), batch))
        return method.loss(logits, batch)

    recorded = replace(method, loss=recording, warm_up_loss=recording)
    tuners = run(recorded, task, replace(schedule_of(settings, method), steps=1), settings)
    logits, batch = seen[0]
    return logits, batch, [context_gradient(tuner) for tuner in tuners]


def run(
    method: Method, task: Task, schedule: Schedule, settings: Settings, listeners: Sequence[Listener] = ()
) -> list[Tuner]:
    """A run of the loop; the tuners as they are after it."""
    untuned = untuned_head(task)
    tuners = make_tuners(method.tuners, task, untuned, settings)
    train(
        method, tuners, task.source, task.labels, schedule,
        classes=len(task.class_names), zero_shot=untuned, match=task.match, seed=SEED, listeners=listeners,
    )  # fmt: skip
    return tuners


def context_gradient(tuner: nn.Module) -> Tensor:
    """The gradient that the last backward pass left at the context."""
    (parameter,) = tuner.parameters()
    assert parameter.grad is not None
    return parameter.grad.detach()
