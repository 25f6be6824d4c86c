"""What people see while a command works: progress on stderr, results on stdout, or one JSON object for machines."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import rich.console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from srrs.io import printable

Advance = Callable[[int, int], None]
"""Called with the number of finished units and their total."""
Stages = Callable[[str], Advance]
"""Starts a stage of the work by its title."""
Clock = Callable[[], float]
RECENT = 120.0
"""Seconds of work that the remaining time is estimated from. On a slow machine a batch of images takes a minute."""
MEASURED = 2.0
"""Seconds of encoding, after the first batch, that the duration is estimated from."""
WORTH_SAYING = 60.0
"""Estimated durations below so many seconds are not printed."""


class Console:
    """Where a command writes. With `as_json`, stdout holds one JSON object and nothing else."""

    def __init__(self, as_json: bool = False):
        self.as_json = as_json
        self.out = rich.console.Console(highlight=False, soft_wrap=True)
        self.err = rich.console.Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, *things: Any) -> None:
        """Print a result for people: text (never read as markup) or a rich renderable."""
        if not self.as_json:
            self.out.print(*(printable(t, "\n\t") if isinstance(t, str) else t for t in things), markup=False)

    def note(self, text: str) -> None:
        """Print a remark on stderr."""
        self.err.print(printable(text, "\n\t"), markup=False, style="dim")

    def result(self, value: Mapping[str, Any]) -> None:
        """Print the result for machines."""
        if self.as_json:
            sys.stdout.write(json.dumps(value, indent=1, allow_nan=False) + "\n")

    @contextmanager
    def progress(self, title: str) -> Iterator[Advance]:
        """Show a bar on stderr, advanced by `(done, total)`."""
        with self.stages([title]) as start:
            yield start(title)

    @contextmanager
    def stages(self, titles: Sequence[str], minutes: Mapping[str, float] | None = None) -> Iterator[Stages]:
        """Show a bar on stderr for each stage; see `stage_bars`."""
        with progress_bars(self.err) as bars:
            yield stage_bars(bars, titles, minutes)


def stage_bars(bars: Progress, titles: Sequence[str], minutes: Mapping[str, float] | None = None) -> Stages:
    """Return what starts a stage by its title, and returns what advances its bar.

    All stages are shown from the beginning, so that the remaining time of one stage is not taken for that of all.
    `minutes` limits the duration of stages that are cut short.
    """
    rows = {title: bars.add_task(title, total=None, to_come=True) for title in titles}

    def start(title: str) -> Advance:
        row, most = rows[title], (minutes or {}).get(title)
        until = None if most is None else bars.get_time() + most * 60
        bars.update(row, to_come=False, until=until)
        return lambda done, total: bars.update(row, completed=done, total=total)

    return start


def with_estimate(advance: Advance, views: int, note: Callable[[str], None], clock: Clock = time.monotonic) -> Advance:
    """Pass on the progress of encoding. After the first batch, note how long encoding takes, also with fewer views.

    The first report is not measured: it covers cached images, or the first batch, which also warms up the model.

    Parameters
    ----------
    advance : receives every report.
    views : augmented views of each image, beside the plain one.
    note : receives the sentence, at most once, and only if encoding takes longer than a minute.
    """
    reports: list[tuple[float, int]] = []
    said = False

    def report(done: int, total: int) -> None:
        nonlocal said
        advance(done, total)
        reports.append((clock(), done))
        seconds, encoded = reports[-1][0] - reports[0][0], done - reports[0][1]
        if said or seconds < MEASURED or len(reports) <= 1 + views:
            return
        said = True
        pace = seconds / encoded
        if pace * (total - reports[0][1]) > WORTH_SAYING:
            note(_durations(pace * total / (1 + views), views))

    return report


def _durations(each: float, views: int) -> str:
    """Return a sentence on the time that encoding takes; `each` is the time of one view of all images in seconds."""
    fewer = sorted({views // 2, 0} - {views}, reverse=True)
    others = " and ".join(f"{_minutes(each * (1 + less))} with --views {less}" for less in fewer)
    text = f"Encoding takes about {_minutes(each * (1 + views))} with {views} augmented views of each image"
    return f"{text}, about {others}. Images that were encoded before take no time." if fewer else f"{text}."


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


class Remaining(ProgressColumn):
    """The remaining time at the recent speed, and never more than the time limit of the stage.

    It is shown as unknown before there is a speed, and after the limit, when the unit at hand is finished.
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


def progress_bars(console: rich.console.Console, clock: Clock = time.monotonic) -> Progress:
    """Return the bars with the finished units, their total, and the remaining time."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining()
    return Progress(*columns, console=console, transient=True, get_time=clock, speed_estimate_period=RECENT)
