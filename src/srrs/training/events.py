"""The events of a run, which progress bars, the history and trackers receive."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from srrs.records import Round


@dataclass(frozen=True)
class Event:
    """An event of a run, such as a step or a screening. `round` is None except for screenings."""

    kind: Literal["step", "screening", "end"]
    step: int
    steps: int
    values: dict[str, float] = field(default_factory=dict)
    round: Round | None = None


Listener = Callable[[Event], None]
