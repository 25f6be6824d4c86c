"""The output of a command: progress on stderr, and results on stdout, as text for people or as one JSON object."""

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
"""Function that is called with the number of finished units and their total."""
Stages = Callable[[str], Advance]
"""Function that is called with the title of a stage when it starts, and returns the function that reports its
progress."""
Clock = Callable[[], float]
"""Function that returns the time in seconds, such as `time.monotonic`."""
RECENT = 120.0
"""Duration in seconds over which speed is measured for the remaining time. A batch may take a minute on a slow
machine."""
MEASURED = 2.0
"""Least duration in seconds, after the first report of progress, from which the duration of encoding is estimated."""
WORTH_SAYING = 60.0
"""Least estimated duration in seconds that is printed."""


class Console:
    """The output of a command. With `as_json`, it writes one JSON object to stdout and nothing else."""

    def __init__(self, as_json: bool = False):
        self.as_json = as_json
        self.out = rich.console.Console(highlight=False, soft_wrap=True)
        self.err = rich.console.Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, *things: Any) -> None:
        """Print results for people: texts (without markup) or objects that rich can render. Nothing with `as_json`."""
        if not self.as_json:
            self.out.print(*(printable(t, "\n\t") if isinstance(t, str) else t for t in things), markup=False)

    def note(self, text: str) -> None:
        """Print a remark to stderr."""
        self.err.print(printable(text, "\n\t"), markup=False, style="dim")

    def result(self, value: Mapping[str, Any]) -> None:
        """Print the result for programs, as JSON; nothing without `as_json`."""
        if self.as_json:
            sys.stdout.write(json.dumps(value, indent=1, allow_nan=False) + "\n")

    @contextmanager
    def progress(self, title: str) -> Iterator[Advance]:
        """Within this block, show a progress bar on stderr. The value is the function that advances the bar."""
        with self.stages([title]) as start:
            yield start(title)

    @contextmanager
    def stages(self, titles: Sequence[str], minutes: Mapping[str, float] | None = None) -> Iterator[Stages]:
        """Within this block, show a progress bar on stderr for each stage. The value starts a stage, see `stage_bars`.

        `titles` are the titles of the stages, and `minutes` contains the time limits in minutes of stages that have
        one.
        """
        with progress_bars(self.err) as bars:
            yield stage_bars(bars, titles, minutes)


def stage_bars(bars: Progress, titles: Sequence[str], minutes: Mapping[str, float] | None = None) -> Stages:
    """Return a function that starts a stage by its title, and returns the function that advances the bar of the stage.

    The bars of all stages are shown from the start. Otherwise, users would read the remaining time of one stage as the
    remaining time of all stages.

    Parameters
    ----------
    bars : the progress bars, see `progress_bars`.
    titles : the titles of the stages.
    minutes : time limits in minutes of the stages that have one, by title.
    """
    rows = {title: bars.add_task(title, total=None, to_come=True) for title in titles}

    def start(title: str) -> Advance:
        row, most = rows[title], (minutes or {}).get(title)
        until = None if most is None else bars.get_time() + most * 60
        bars.update(row, to_come=False, until=until)
        return lambda done, total: bars.update(row, completed=done, total=total)

    return start


def with_estimate(advance: Advance, views: int, note: Callable[[str], None], clock: Clock = time.monotonic) -> Advance:
    """Return a progress function that also estimates how long encoding takes, and how long with fewer views.

    The estimate ignores the time before the first report, which covers cached images or the first batch, which takes
    longer.

    Parameters
    ----------
    advance : called with every report of progress.
    views : number of augmented views of each image, besides the plain view.
    note : called at most once, with the estimate as a sentence, and only if encoding takes longer than a minute.
    clock : function that returns the time in seconds.
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
    """Return a sentence on the duration of encoding. `each` is the time in seconds for one view of all images."""
    fewer = sorted({views // 2, 0} - {views}, reverse=True)
    others = " and ".join(f"{_minutes(each * (1 + less))} with --views {less}" for less in fewer)
    text = f"Encoding takes about {_minutes(each * (1 + views))} with {views} augmented views of each image"
    return f"{text}, about {others}. Images that were encoded before take no time." if fewer else f"{text}."


def _minutes(seconds: float) -> str:
    """Return a duration as text, in a suitable unit."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


class Remaining(ProgressColumn):
    """A column with the remaining time at the recent speed, but not more than the time left until the stage's limit.

    The time is shown as unknown before the speed is measured, and after the limit, while the stage completes its
    current unit.
    """

    max_refresh = 0.5
    """Least time in seconds between two updates of the column."""

    def render(self, task: Task) -> Text:
        """Return the remaining time of a stage as text."""
        left, until = task.time_remaining, task.fields.get("until")
        if left is not None and until is not None and not task.finished:
            rest = until - task.get_time()
            left = min(left, rest) if rest > 0 else None
        shown = "-:--:--" if left is None else str(timedelta(seconds=round(left)))
        if task.total is None:
            shown = "to come" if task.fields.get("to_come") else ""
        return Text(shown, style="progress.remaining")


def progress_bars(console: rich.console.Console, clock: Clock = time.monotonic) -> Progress:
    """Return progress bars with the finished units, their total, and the remaining time."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining()
    return Progress(*columns, console=console, transient=True, get_time=clock, speed_estimate_period=RECENT)
