"""The stages of a method: their signatures, and the record of a method.

`Screen`, `Rectify` and `Rescreen` take frozen records and a memory, and return a record and a memory; `Prepare` and
`Loss` belong to the training step. The memory is a mapping of arrays that stages keep from one round to the next, so
that a resumed run is exact. A new stage is one function with one of the signatures below.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from srrs.records import Batch, Evidence, Matched, Partition, Round, Targets

Memory = Mapping[str, np.ndarray]

Screen = Callable[[Evidence, Memory], tuple[Partition, Memory]]
Rectify = Callable[[Evidence, Partition, Memory], tuple[Targets, Memory]]
Rescreen = Callable[[Evidence, Partition, Targets, Memory], tuple[Matched, Memory]]

OPTIONAL = frozenset({"logits", "zero_shot", "features", "class_vectors", "match"})
"""Fields of `Evidence` that are gathered only for a stage that reads them."""

Stage = TypeVar("Stage", bound=Callable[..., Any])


def reads(*names: str, can_lack: Collection[str] = ("match",)) -> Callable[[Stage], Stage]:
    """Declare which optional fields of the evidence a stage reads, so that nothing else is computed for it.

    A stage without a declaration reads every field. `can_lack` are the fields that the stage works without. Raises
    ValueError for a name that is no such field.
    """
    if unknown := set(names) - OPTIONAL:
        raise ValueError(f"Expected fields of the evidence out of {sorted(OPTIONAL)}, but got {sorted(unknown)}")

    def declare(stage: Stage) -> Stage:
        stage.reads = frozenset(names)  # type: ignore[attr-defined]
        stage.requires = frozenset(names) - set(can_lack)  # type: ignore[attr-defined]
        return stage

    return declare


def read_by(stage: Callable[..., Any]) -> frozenset[str]:
    """Which optional fields of the evidence a stage reads."""
    declared: frozenset[str] = getattr(stage, "reads", OPTIONAL)
    return declared


def required_by(stage: Callable[..., Any]) -> frozenset[str]:
    """Which optional fields of the evidence a stage cannot do without; none for a stage that declares nothing."""
    declared: frozenset[str] = getattr(stage, "requires", frozenset())
    return declared


@dataclass(frozen=True)
class LabeledBatch:
    """The rows of one training step: B is samples times views."""

    inputs: Batch
    """Features or pixels of the images, perhaps mixed."""
    soft: Tensor
    """(B, C) target probabilities."""
    weight: Tensor
    """(B,) weight in the loss."""
    group: Tensor
    """(B,) the `Group` that screening put each sample in."""
    is_match: Tensor
    """(B,) whether re-screening matched each sample."""


Prepare = Callable[[LabeledBatch, np.random.Generator], LabeledBatch]
"""`(batch, generator) -> batch`: how the rows of a step are selected, weighted and mixed."""
Loss = Callable[[Tensor, LabeledBatch], Tensor]
"""`(logits (tuners, B, C), batch) -> scalar`"""


@dataclass(frozen=True)
class TunerSpec:
    """A tuner of a method; `srrs.tuners` builds it."""

    name: str
    """Names its logits in the evidence and its columns in the table: `macro`, `micro`, `probe`."""
    kind: Any
    """A name of `srrs.tuners` (`class-prompt`, `described-prompt`, `linear-probe`, `task-residual`), `module:name`, or
    a class."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the tuner. For prompts: `words` (the initial context), `prompts` (how many per class), `shared`
    (one context for all classes), `average` (`features` or `logits`: what is averaged over several prompts)."""
    votes: bool = True
    """Whether it takes part in the classification. If False, only the stages read its logits."""
    learning_rate: float | None = None
    """None: the tuner's own."""


MACRO = TunerSpec("macro", "class-prompt")
MICRO = TunerSpec("micro", "described-prompt")
PROBE = TunerSpec("probe", "linear-probe")
SOLVED_PROBE = TunerSpec("probe", "logistic-probe")
RESIDUAL = TunerSpec("residual", "logistic-residual")


@dataclass(frozen=True)
class Method:
    """A method is a short composition of stages over shared machinery."""

    name: str
    tuners: tuple[TunerSpec, ...]
    screen: Screen
    rectify: Rectify
    rescreen: Rescreen
    loss: Loss
    warm_up_loss: Loss
    prepare: Prepare
    tunes: bool = True
    """False: the tuners keep their initial state."""
    warm_up: float = 0.0
    """Share of the steps that learn from the given labels before the first screening."""
    text_free: tuple[TunerSpec, ...] = ()
    """The tuners on embeddings, where there is no text tower; empty if the method cannot do without one."""
    learning_rate: float | None = None
    """That of the prompts; the rates of the other tuners scale with it. None: each tuner's own. The settings may
    replace it."""
    rounds: int = 0
    """Number of screenings during training, evenly spaced, at least one; one more follows the last step."""

    @property
    def voters(self) -> tuple[str, ...]:
        """Names of the voters: the tuners with `votes=True`."""
        return tuple(tuner.name for tuner in self.tuners if tuner.votes)

    @property
    def reads(self) -> frozenset[str]:
        """Which optional fields of the evidence its stages read. Only one that reads `logits` tunes for an audit."""
        return read_by(self.screen) | read_by(self.rectify) | read_by(self.rescreen)

    @property
    def requires(self) -> frozenset[str]:
        """Which optional fields of the evidence its stages cannot do without."""
        return required_by(self.screen) | required_by(self.rectify) | required_by(self.rescreen)


def one_round(method: Method, evidence: Evidence, memory: Memory) -> tuple[Round, Memory]:
    """Screen, rectify and re-screen once."""
    partition, memory = method.screen(evidence, memory)
    targets, memory = method.rectify(evidence, partition, memory)
    matched, memory = method.rescreen(evidence, partition, targets, memory)
    quality = partition.p_clean if partition.quality is None else partition.quality
    return Round(evidence, partition, targets, matched, quality=quality), memory
