"""What people see while a command works: progress on stderr, results on stdout, or one JSON object for machines."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from srrs.train.events import Event

Advance = Callable[[int, int], None]


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
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=self.err, transient=True) as bars:
            bar = bars.add_task(title, total=None)
            yield lambda done, total: bars.update(bar, completed=done, total=total)

    @contextmanager
    def training(self, title: str) -> Iterator[Sequence[Callable[["Event"], None]]]:
        """A bar for a run, as a listener to its events."""
        with self.progress(title) as advance:

            def listen(event: "Event") -> None:
                advance(event.step, event.steps)

            yield [listen]
