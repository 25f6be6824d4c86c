"""The remaining time that people see, on a clock of the test's own."""

import io

import pytest
from rich.console import Console

from srrs.console import Remaining, progress_bars


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def remaining(bars, bar: int = 0) -> str:
    (column,) = (column for column in bars.columns if isinstance(column, Remaining))
    return column.render(bars.tasks[bar]).plain


def started(clock: Clock, minutes: float | None = None):
    bars = progress_bars(Console(file=io.StringIO()), minutes, clock)
    bars.add_task("Encoding", total=None)
    return bars


def advance(bars, clock: Clock, seconds: float, done: int, total: int) -> None:
    clock.now += seconds
    bars.update(0, completed=done, total=total)


def test_before_there_is_a_speed_nothing_is_promised(clock: Clock) -> None:
    bars = started(clock)
    assert remaining(bars) == ""
    advance(bars, clock, 5, 1, 100)
    assert remaining(bars) == "-:--:--"


def test_what_was_done_before_the_run_went_on_does_not_count_as_speed(clock: Clock) -> None:
    bars = started(clock)
    advance(bars, clock, 1, 40, 60)
    for done in range(41, 51):
        advance(bars, clock, 6, done, 60)
    assert remaining(bars) == "0:01:00"


def test_the_speed_is_that_of_late(clock: Clock) -> None:
    """A hundred fast steps, then slow ones: the slow ones tell."""
    bars = started(clock)
    for done in range(1, 101):
        advance(bars, clock, 0.1, done, 200)
    for done in range(101, 121):
        advance(bars, clock, 20, done, 200)
    assert remaining(bars) == "0:26:40"  # 80 steps of 20 seconds


def test_batches_that_take_most_of_a_minute_have_a_speed_too(clock: Clock) -> None:
    bars = started(clock)
    for done in (64, 128, 192):
        advance(bars, clock, 50, done, 640)
    assert remaining(bars) == "0:05:50"  # 7 batches of 50 seconds


def test_work_that_is_cut_short_takes_no_longer_than_that(clock: Clock) -> None:
    bars = started(clock, minutes=5)
    for done in range(1, 4):
        advance(bars, clock, 20, done, 1000)
    assert remaining(bars) == "0:04:00"
    for done in range(4, 20):
        advance(bars, clock, 20, done, 1000)
    assert remaining(bars) == "-:--:--"  # what was begun is brought to an end, and nobody knows when


def test_what_is_done_has_nothing_left(clock: Clock) -> None:
    bars = started(clock, minutes=1)
    advance(bars, clock, 10, 5, 10)
    advance(bars, clock, 100, 10, 10)
    assert remaining(bars) == "0:00:00"
