"""Our way of doing the work, through the package's own parts.

N samples, C classes, V augmented views, D feature size.
"""

import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from PIL import Image
from srrs.prompts.learner import zero_shot_weights
from srrs.training.task import Schedule, Task
from torch import Tensor, nn
from torch.nn.functional import normalize

from common import summary, synchronise
from srrs.config import LEARNING_RATE, Settings
from srrs.methods import zoo
from srrs.methods.stages import Lesson, Method
from srrs.models.dual import DualEncoder
from srrs.records import MatchScores
from srrs.training.events import Event
from srrs.training.loop import tune
from srrs.tuning import make_learners
from words import class_names, descriptions

SEED = 1


def stepping() -> Method:
    """Two learners and the published loss, without any decision on the labels: a step is measured, not a method."""
    return replace(zoo.coop_two(), name="step", loss=zoo.srrs_paper().loss)


def pictures(count: int, size: tuple[int, int], seed: int = SEED) -> list[Image.Image]:
    """Photographs of noise, (height, width) pixels."""
    values = np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8)
    return [Image.fromarray(value) for value in values]


def task_of(model: DualEncoder, classes: int, views: Tensor, match: MatchScores | None = None) -> Task:
    """A task on features (N, 1 + V, D), the plain view first, with given labels drawn at random."""
    features = views.cpu().numpy()
    labels = np.random.default_rng(SEED).integers(0, classes, len(features))
    return Task(
        model=model,
        class_names=class_names(classes),
        descriptions=descriptions(classes),
        ids=tuple(map(str, range(len(features)))),
        labels=labels,
        plain=features[:, 0],
        views=features[:, 1:],
        match=match,
    )


def random_views(model: DualEncoder, samples: int, views: int) -> Tensor:
    """Unit features (N, 1 + V, D): what a step costs does not depend on what they show."""
    draw = torch.Generator().manual_seed(SEED)
    return normalize(torch.randn(samples, 1 + views, model.feature_size, generator=draw), dim=-1)


def untuned(task: Task) -> Tensor:
    """(C, D) class weights of the untuned model."""
    return zero_shot_weights(task.model, task.class_names)


def step_seconds(task: Task, settings: Settings, zero_shot: Tensor, steps: int) -> float:
    """Median seconds of a step in a run of the loop. The first, which follows a screening, is left out."""
    stamps: list[float] = []

    def listen(event: Event) -> None:
        if event.kind == "step":
            synchronise(task.model.device)
            stamps.append(time.perf_counter())

    method = stepping()
    learners = make_learners(method, task, settings)
    tune(method, task, learners, zero_shot, _schedule(settings, steps + 1), SEED, listeners=[listen])
    return summary([after - before for before, after in pairwise(stamps)]).median


def first_step(task: Task, settings: Settings, zero_shot: Tensor) -> tuple[Tensor, Lesson, list[Tensor]]:
    """Logits of the first step of a run, what it teaches, and the gradient of each learner's context."""
    method, seen = stepping(), []

    def recording(logits: Tensor, lesson: Lesson) -> Tensor:
        seen.append((logits.detach(), lesson))
        return method.loss(logits, lesson)

    learners = make_learners(method, task, settings)
    recorded = replace(method, loss=recording, warm_up_loss=recording)
    tune(recorded, task, learners, zero_shot, _schedule(settings, 1), SEED)
    logits, lesson = seen[0]
    return logits, lesson, [context_gradient(learner) for learner in learners]


def context_gradient(learner: nn.Module) -> Tensor:
    """What the last backward pass left at the context."""
    (parameter,) = learner.parameters()
    assert parameter.grad is not None
    return parameter.grad.detach()


def _schedule(settings: Settings, steps: int) -> Schedule:
    asked = settings.schedule
    return Schedule(steps, asked.batch, asked.views_per_step, asked.learning_rate or LEARNING_RATE)
