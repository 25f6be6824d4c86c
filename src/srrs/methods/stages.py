"""The seams of a method. A stage is a function from records and memory to a record and memory.

What a stage remembers between rounds is an explicit value, a mapping of arrays, so that a resumed run is exact. A
researcher's new stage is one function with one of the signatures below.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from srrs.records import Evidence, Matched, Partition, Round, Targets

Memory = Mapping[str, np.ndarray]

Screen = Callable[[Evidence, Memory], tuple[Partition, Memory]]
Rectify = Callable[[Evidence, Partition, Memory], tuple[Targets, Memory]]
Rescreen = Callable[[Evidence, Partition, Targets, Memory], tuple[Matched, Memory]]


@dataclass(frozen=True)
class Lesson:
    """What one step learns from, row by row: B is samples times views."""

    features: Tensor
    """(B, D) image features, perhaps mixed."""
    soft: Tensor
    """(B, C) targets."""
    weight: Tensor
    """(B,)"""
    group: Tensor
    """(B,) screening's verdict, a `Group`."""
    is_match: Tensor
    """(B,) re-screening's verdict."""


Prepare = Callable[[Lesson, np.random.Generator], Lesson]
"""`(lesson, generator) -> lesson`: which samples a step learns from, and how they are mixed."""
Loss = Callable[[Tensor, Lesson], Tensor]
"""`(logits (learners, B, C), lesson) -> scalar`"""


@dataclass(frozen=True)
class Learner:
    """A kind of class weights to tune."""

    kind: Literal["class", "described", "linear"]
    """The class prompt (macro), the described prompt (micro), or the weights themselves (a linear probe)."""
    words: str | None = None
    """Initial words of the context; None: those of the settings."""
    prompts: int | None = None
    """Prompts per class; None: as the settings say."""
    shared: bool | None = None
    """Whether all classes share a context; None: as the settings say."""


MACRO, MICRO, LINEAR = Learner("class"), Learner("described"), Learner("linear")


@dataclass(frozen=True)
class Method:
    """A method is a short composition of stages over shared machinery."""

    name: str
    learners: tuple[Learner, ...]
    """The macro learner, then the micro learner."""
    screen: Screen
    rectify: Rectify
    rescreen: Rescreen
    loss: Loss
    warm_up_loss: Loss
    prepare: Prepare
    tunes: bool = True
    """False: the prompts stay as they are."""
    warm_up: float = 0.0
    """Share of the steps that learn from the given labels before the first screening."""
    rounds: int = 0
    """Screenings during training, evenly spaced; one more follows the last step."""
    voters: int | None = None
    """How many of the learners classify, the first ones; the others only advise the stages. None: all."""


def one_round(method: Method, evidence: Evidence, memory: Memory) -> tuple[Round, Memory]:
    """Screening, rectifying and re-screening, once."""
    partition, memory = method.screen(evidence, memory)
    targets, memory = method.rectify(evidence, partition, memory)
    matched, memory = method.rescreen(evidence, partition, targets, memory)
    return Round(evidence, partition, targets, matched, quality=partition.p_clean), memory
