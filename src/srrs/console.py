"""What people see while a command works: progress on stderr, results on stdout, or one JSON object for machines."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

if TYPE_CHECKING:
    from srrs.train.events import Event

Advance = Callable[[int, int], None]
RECENT = 120.0
"""Seconds: what is done in them tells the speed. A batch of pictures on a slow machine takes most of a minute."""


class Screen:
    """Where a command writes. With `as_json`, stdout holds one JSON object and nothing else."""

    def __init__(self, as_json: bool = False):
        self.as_json = as_json
        self.out = Console(highlight=False, soft_wrap=True)
        self.err = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, *things: Any) -> None:
        """Show a result to people: text (never read as markup) or a rich renderable."""
        if not self.as_json:
            self.out.print(*things, markup=False)

    def note(self, text: str) -> None:
        """A remark beside the result."""
        self.err.print(text, markup=False, style="dim")

    def result(self, value: dict[str, Any]) -> None:
        """The result for machines."""
        if self.as_json:
            sys.stdout.write(json.dumps(value, indent=1, allow_nan=False) + "\n")

    @contextmanager
    def progress(self, title: str, minutes: float | None = None) -> Iterator[Advance]:
        """A bar on stderr, advanced by `(done, total)`; with `minutes`, the work is cut short after them."""
        with progress_bars(self.err, minutes) as bars:
            bar = bars.add_task(title, total=None)
            yield lambda done, total: bars.update(bar, completed=done, total=total)

    @contextmanager
    def training(self, title: str) -> Iterator[Sequence[Callable[["Event"], None]]]:
        """A bar for a run, as a listener to its events."""
        with self.progress(title) as advance:

            def listen(event: "Event") -> None:
                advance(event.step, event.steps)

            yield [listen]


class Remaining(ProgressColumn):
    """The time that the rest takes at the speed of late, and never more than the work may take.

    Unknown is shown as such: before there is a speed, and when the time is up and what was begun is brought to an end.
    """

    max_refresh = 0.5

    def __init__(self, until: float | None = None):
        super().__init__()
        self.until = until

    def render(self, task: Task) -> Text:
        left = task.time_remaining
        if left is not None and self.until is not None and not task.finished:
            rest = self.until - task.get_time()
            left = min(left, rest) if rest > 0 else None
        shown = "-:--:--" if left is None else str(timedelta(seconds=round(left)))
        return Text("" if task.total is None else shown, style="progress.remaining")


def progress_bars(
    console: Console, minutes: float | None = None, clock: Callable[[], float] = time.monotonic
) -> Progress:
    """Bars with what is done of what, and the remaining time."""
    until = clock() + minutes * 60 if minutes is not None else None
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining(until)
    return Progress(*columns, console=console, transient=True, get_time=clock, speed_estimate_period=RECENT)
