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
"""Called with the number of finished units and their total."""
Stages = Callable[[str], Advance]
"""Called with the title of a stage when it starts; returns the function that reports its progress."""
Clock = Callable[[], float]
RECENT = 120.0
"""The remaining time is estimated from the last so many seconds. On a slow machine a batch of images takes a minute."""
MEASURED = 2.0
"""The duration of encoding is estimated from so many seconds after the first batch."""
WORTH_SAYING = 60.0
"""An estimated duration below so many seconds is not printed."""


class Console:
    """The output of a command. With `as_json`, it writes one JSON object to stdout and nothing else."""

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
    """Return a function that starts a stage by its title. It returns the function that advances the bar of the stage.

    The bars of all stages are shown from the beginning. Otherwise users would take the remaining time of one stage for
    the remaining time of all. `minutes` holds the time limits of stages that have one, by title.
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

    The estimate ignores the first report, because it covers cached images, or the first batch, which takes longer.

    Parameters
    ----------
    advance : called with every report of progress.
    views : number of augmented views of each image, besides the plain view.
    note : called at most once, with the estimate as a sentence, and only if encoding takes longer than a minute.
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
    """A column with the remaining time at the recent speed, and never more than the time limit of the stage.

    The time is shown as unknown before a speed is known, and after the limit, while the current unit is finished.
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
