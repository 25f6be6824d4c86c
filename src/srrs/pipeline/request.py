"""The request and the result of a run, and the names of its stages."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from srrs.audit.decisions import Decision
from srrs.audit.table import Audit
from srrs.config import Settings
from srrs.data.inputs import Inputs
from srrs.data.samples import Progress, Samples
from srrs.features.store import Elsewhere
from srrs.methods.stages import Method
from srrs.models.base import Models
from srrs.records import Features
from srrs.training.loop import Outcome
from srrs.tuning import Task

Stages = Callable[[str], Progress]
"""Called with the name of a stage when it starts; returns the function that reports its progress."""
ENCODING, MATCHING, TUNING, LOOKING, TESTING = (
    "Encoding views", "Encoding for the matcher", "Tuning", "Looking for flaws", "Encoding test images",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Request:
    """The input of an audit or a fit: samples, models, settings and options."""

    samples: Samples
    """Checked samples."""
    models: Models
    settings: Settings
    method: Method | None = None
    """The method; None for the method that the settings name."""
    features: Features | None = None
    """Features of all rows. If they are given, no image is encoded."""
    descriptions: Path | None = None
    """A file of class descriptions; None for the bundled ones."""
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    """Decisions of a person, by id. A label that was kept or chosen is treated as correct, and a dropped image is left
    out."""
    held_out: Inputs | None = None
    """Test samples, which are compared with the samples to find duplicates."""
    cache: Path | None = None
    """Folder of the feature cache; None for the cache folder of the user."""
    checkpoint: Path | None = None
    """Folder for the state of the run."""
    elsewhere: Elsewhere | None = None
    """A cluster that encodes the images."""
    max_minutes: float | None = None
    """Time limit for encoding augmented views. With a limit, the result depends on the speed of the machine."""


@dataclass(frozen=True)
class Fitted:
    """An audit, and the classifier if one was tuned."""

    outcome: Outcome
    task: Task
    audit: Audit
    notes: tuple[str, ...]


def stages_of(models: Models, inputs: Inputs, held_out: Inputs | None = None) -> list[str]:
    """Return the names of the stages of `fit` for this request, in their order."""
    happens = {
        ENCODING: inputs.features is None,
        MATCHING: models.matcher is not None,
        TUNING: True,
        TESTING: held_out is not None and held_out.features is None,
        LOOKING: inputs.features is None,
    }
    return [stage for stage, does in happens.items() if does]
