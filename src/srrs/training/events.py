"""The events of a run, which progress bars, the history and trackers receive."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from srrs.records import Round


@dataclass(frozen=True)
class Event:
    """An event of a run: a step, a screening, or the end."""

    kind: Literal["step", "screening", "end"]
    step: int
    """Number of steps that were taken before the event, including the step of the event."""
    steps: int
    """Number of steps of the run."""
    values: dict[str, float] = field(default_factory=dict)
    """Numbers of the event by name, such as `loss` or `noise`."""
    round: Round | None = None
    """The records of the screening; None for other events."""


Listener = Callable[[Event], None]
"""Function that is called with each event of a run."""
