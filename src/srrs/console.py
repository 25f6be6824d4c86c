"""What people see while a command works: progress on stderr, results on stdout, or one JSON object for machines."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

Advance = Callable[[int, int], None]
Stages = Callable[[str], Advance]
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
    def progress(self, title: str) -> Iterator[Advance]:
        """A bar on stderr, advanced by `(done, total)`."""
        with self.stages([title]) as start:
            yield start(title)

    @contextmanager
    def stages(self, titles: Sequence[str], minutes: Mapping[str, float] | None = None) -> Iterator[Stages]:
        """A bar on stderr for each stage of a work; see `stage_bars`."""
        with progress_bars(self.err) as bars:
            yield stage_bars(bars, titles, minutes)


def stage_bars(bars: Progress, titles: Sequence[str], minutes: Mapping[str, float] | None = None) -> Stages:
    """Starts a stage by its title, and gives what advances its bar by `(done, total)`.

    All stages are shown from the first moment on: nobody knows how long those to come will take, and the remaining time
    of one stage must not be taken for that of all. A stage of which `minutes` are given is cut short after them.
    """
    rows = {title: bars.add_task(title, total=None, to_come=True) for title in titles}

    def start(title: str) -> Advance:
        row, most = rows[title], (minutes or {}).get(title)
        until = None if most is None else bars.get_time() + most * 60
        bars.update(row, to_come=False, until=until)
        return lambda done, total: bars.update(row, completed=done, total=total)

    return start


class Remaining(ProgressColumn):
    """The time that the rest takes at the speed of late, and never more than the work may take.

    Unknown is shown as such: before there is a speed, and when the time is up and what was begun is brought to an end.
    """

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        left, until = task.time_remaining, task.fields.get("until")
        if left is not None and until is not None and not task.finished:
            rest = until - task.get_time()
            left = min(left, rest) if rest > 0 else None
        shown = "-:--:--" if left is None else str(timedelta(seconds=round(left)))
        if task.total is None:
            shown = "to come" if task.fields.get("to_come") else ""
        return Text(shown, style="progress.remaining")


def progress_bars(console: Console, clock: Callable[[], float] = time.monotonic) -> Progress:
    """Bars with what is done of what, and the remaining time."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining()
    return Progress(*columns, console=console, transient=True, get_time=clock, speed_estimate_period=RECENT)
