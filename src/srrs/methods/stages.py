"""The stages of a method: their signatures, and the record of a method.

`Screen`, `Rectify` and `Rescreen` take frozen records and a memory, and return a record and a memory. `Prepare` and
`Loss` belong to the training step. The memory is a mapping of arrays that stages keep from one round to the next. The
checkpoint contains the memory, so that a continued run has the same result. To write a new stage, write a function with
one of the signatures below. B rows of a step, C classes.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from srrs.records import Batch, Evidence, Matched, Partition, Round, Targets

Memory = Mapping[str, np.ndarray]
"""Named arrays that the stages keep from one round to the next."""

Screen = Callable[[Evidence, Memory], tuple[Partition, Memory]]
"""`(evidence, memory) -> (partition, memory)`: decides which given labels are correct."""
Rectify = Callable[[Evidence, Partition, Memory], tuple[Targets, Memory]]
"""`(evidence, partition, memory) -> (targets, memory)`: chooses the label that each sample is trained with."""
Rescreen = Callable[[Evidence, Partition, Targets, Memory], tuple[Matched, Memory]]
"""`(evidence, partition, targets, memory) -> (matched, memory)`: checks whether images match their rectified labels."""

OPTIONAL = frozenset({"logits", "zero_shot", "features", "class_vectors", "match"})
"""Fields of `Evidence` that are computed only if a stage reads them."""

Stage = TypeVar("Stage", bound=Callable[..., Any])


def reads(*names: str, can_lack: Collection[str] = ("match",)) -> Callable[[Stage], Stage]:
    """Return a decorator that declares the optional fields of the evidence that a stage reads.

    Only the declared fields are computed. A stage without a declaration reads every field. The stage must also work if
    a field in `can_lack` is None. Raises ValueError for a name that is not in `OPTIONAL`.
    """
    if unknown := set(names) - OPTIONAL:
        raise ValueError(f"Expected fields of the evidence out of {sorted(OPTIONAL)}, but got {sorted(unknown)}")

    def declare(stage: Stage) -> Stage:
        stage.reads = frozenset(names)  # type: ignore[attr-defined]
        stage.requires = frozenset(names) - set(can_lack)  # type: ignore[attr-defined]
        return stage

    return declare


def read_by(stage: Callable[..., Any]) -> frozenset[str]:
    """Return the optional fields of the evidence that a stage reads."""
    declared: frozenset[str] = getattr(stage, "reads", OPTIONAL)
    return declared


def required_by(stage: Callable[..., Any]) -> frozenset[str]:
    """Return the optional fields of the evidence that a stage requires; none if the stage has no declaration."""
    declared: frozenset[str] = getattr(stage, "requires", frozenset())
    return declared


@dataclass(frozen=True)
class LabeledBatch:
    """The rows of one training step: B pairs of a sample and a view, so a sample has one row per view."""

    inputs: Batch
    """Features or pixels of the images, perhaps mixed with those of other images."""
    soft: Tensor
    """(B, C) target probabilities."""
    weight: Tensor
    """(B,) weight in the loss."""
    group: Tensor
    """(B,) the `Group` of each sample from screening."""
    is_match: Tensor
    """(B,) whether re-screening matched each sample."""


Prepare = Callable[[LabeledBatch, np.random.Generator], LabeledBatch]
"""`(batch, generator) -> batch`: how the rows of a step are selected, weighted and mixed."""
Loss = Callable[[Tensor, LabeledBatch], Tensor]
"""`(logits (tuners, B, C), batch) -> scalar`: the loss of a step."""


@dataclass(frozen=True)
class TunerSpec:
    """The description of a tuner in a method, from which `srrs.tuners.build` makes the tuner."""

    name: str
    """Name of the tuner's logits in the evidence and of its column in the table, such as `macro`, `micro` or
    `probe`."""
    kind: Any
    """A name of `srrs.tuners` (`class-prompt`, `described-prompt`, `linear-probe`, `task-residual`), `module:name`, or
    a class."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the tuner. For prompts: `words` (the initial context), `prompts` (number per class), `shared` (one
    context for all classes), `average` (`features` or `logits`: what is averaged if a class has several prompts)."""
    votes: bool = True
    """Whether the classifier uses the logits of the tuner. If False, only the stages read them."""
    learning_rate: float | None = None
    """Learning rate; None for the default of the tuner."""


MACRO = TunerSpec("macro", "class-prompt")
"""Class prompt: macro in the paper."""
MICRO = TunerSpec("micro", "described-prompt")
"""Described prompt: micro in the paper."""
PROBE = TunerSpec("probe", "linear-probe")
"""Linear classifier of the features, trained by gradient steps."""
SOLVED_PROBE = TunerSpec("probe", "logistic-probe")
"""Logistic regression on the features, fitted to convergence."""
RESIDUAL = TunerSpec("residual", "logistic-residual")
"""Logistic regression that adds a residual to the class vectors, fitted to convergence."""


@dataclass(frozen=True)
class Method:
    """A method: its stages, tuners and losses."""

    name: str
    tuners: tuple[TunerSpec, ...]
    screen: Screen
    rectify: Rectify
    rescreen: Rescreen
    loss: Loss
    """Loss of a training step."""
    warm_up_loss: Loss
    """Loss of a training step before the first screening."""
    prepare: Prepare
    """Selection, weights and mixing of the rows of a training step."""
    tunes: bool = True
    """Whether the tuners are trained; if False, they keep their initial state."""
    warm_up: float = 0.0
    """Share of the steps, from 0 to 1, that learn from the given labels before the first screening."""
    text_free: tuple[TunerSpec, ...] = ()
    """Tuners to use if there is no text tower; empty if the method needs one."""
    learning_rate: float | None = None
    """Learning rate of the prompts; the rates of the other tuners are scaled by the same factor. None keeps the default
    of each tuner. The setting `learning_rate` replaces this value."""
    anchor: float = 0.0
    """Strength of the pull of the tuners toward their initial state, see `Tuner.departure`. It counts once per dataset,
    so with few images the tuners stay closer to the untuned model."""
    rounds: int = 0
    """Number of screenings during training, evenly spaced; 0 counts as 1. One more screening follows the last step."""

    @property
    def voters(self) -> tuple[str, ...]:
        """Return the names of the tuners whose logits the classifier averages (`votes=True`)."""
        return tuple(tuner.name for tuner in self.tuners if tuner.votes)

    @property
    def reads(self) -> frozenset[str]:
        """Return the optional fields of the evidence that the stages read.

        An audit trains the tuners only if the stages read `logits`.
        """
        return read_by(self.screen) | read_by(self.rectify) | read_by(self.rescreen)

    @property
    def requires(self) -> frozenset[str]:
        """Return the optional fields of the evidence that the stages require."""
        return required_by(self.screen) | required_by(self.rectify) | required_by(self.rescreen)


def one_round(method: Method, evidence: Evidence, memory: Memory) -> tuple[Round, Memory]:
    """Run screening, rectifying and re-screening once. Return their records, and the memory for the next round."""
    partition, memory = method.screen(evidence, memory)
    targets, memory = method.rectify(evidence, partition, memory)
    matched, memory = method.rescreen(evidence, partition, targets, memory)
    quality = partition.p_clean if partition.quality is None else partition.quality
    return Round(evidence, partition, targets, matched, quality=quality), memory
