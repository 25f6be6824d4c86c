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
"""Function that is called with the name of a stage when it starts, and returns the function that reports its
progress."""
ENCODING, MATCHING, TUNING, LOOKING, TESTING = (
    "Encoding views", "Encoding for the matcher", "Tuning", "Looking for flaws", "Encoding test images",
)  # fmt: skip
"""Names of the stages of a run, as users see them."""


@dataclass(frozen=True, eq=False)
class Request:
    """The input of an audit or a fit."""

    samples: Samples
    """Checked samples of all rows."""
    models: Models
    """The loaded models."""
    settings: Settings
    """The settings of the run."""
    method: Method | None = None
    """The method; None for the method that the settings name."""
    features: Features | None = None
    """Features of all rows. If they are given, no image is encoded."""
    descriptions: Path | None = None
    """A file of class descriptions; None for those of this package."""
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    """Decisions of a person, by id. A label that was kept or chosen is treated as correct, and a dropped image is left
    out."""
    held_out: Inputs | None = None
    """Test samples. They are compared with the samples to find duplicates."""
    cache: Path | None = None
    """Folder of the feature cache; None for the cache folder of the user."""
    checkpoint: Path | None = None
    """Folder for the state of the run; None if no state is written."""
    elsewhere: Elsewhere | None = None
    """Function that encodes the images on a cluster."""
    max_minutes: float | None = None
    """Time limit in minutes for encoding augmented views. With a limit, the result depends on the speed of the
    machine."""


@dataclass(frozen=True)
class Fitted:
    """The result of an audit or a fit."""

    outcome: Outcome
    """The result of the training, with the tuned classifier if there is one."""
    task: Task
    """The training task of the usable rows."""
    audit: Audit
    """The audit of all rows."""
    notes: tuple[str, ...]
    """Notes on the data, for the user."""


def stages_of(models: Models, inputs: Inputs, held_out: Inputs | None = None) -> list[str]:
    """Return the names of the stages of a run with these models and inputs, in their order."""
    happens = {
        ENCODING: inputs.features is None,
        MATCHING: models.matcher is not None,
        TUNING: True,
        TESTING: held_out is not None and held_out.features is None,
        LOOKING: inputs.features is None,
    }
    return [stage for stage, does in happens.items() if does]
