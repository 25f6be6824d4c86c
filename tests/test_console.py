"""The remaining time that people see, on a clock of the test's own."""

import io

import pytest
from rich.console import Console

from srrs.console import Remaining, progress_bars, stage_bars, with_estimate


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
    bars = progress_bars(Console(file=io.StringIO()), clock)
    stage_bars(bars, ["Encoding"], {} if minutes is None else {"Encoding": minutes})("Encoding")
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


def test_stages_to_come_are_shown_as_such_and_count_in_no_remaining_time(clock: Clock) -> None:
    bars = progress_bars(Console(file=io.StringIO()), clock)
    start = stage_bars(bars, ["Encoding", "Tuning"], {"Encoding": 1})
    encoded = start("Encoding")
    for done in range(1, 4):
        clock.now += 10
        encoded(done, 5)
    assert [remaining(bars, bar) for bar in (0, 1)] == ["0:00:20", "to come"]
    clock.now += 1000  # what the first stage took is no speed of the second, and its limit none
    tuned = start("Tuning")
    assert remaining(bars, 1) == ""
    for done in range(1, 4):
        clock.now += 60
        tuned(done, 10)
    assert remaining(bars, 1) == "0:07:00"


def test_a_limit_counts_from_the_start_of_its_stage(clock: Clock) -> None:
    bars = progress_bars(Console(file=io.StringIO()), clock)
    start = stage_bars(bars, ["Reading", "Encoding"], {"Encoding": 5})
    start("Reading")
    clock.now += 1000
    encoded = start("Encoding")
    for done in range(1, 4):
        clock.now += 20
        encoded(done, 1000)
    assert remaining(bars, 1) == "0:04:00"


def estimate(clock: Clock, views: int, seconds: float, images: int = 640, cached: int = 0) -> list[str]:
    """Sentences said while batches of 64 images are encoded, view by view."""
    said: list[str] = []
    report = with_estimate(lambda done, total: None, views, said.append, clock)
    done, total = cached, images * (1 + views)
    if cached:
        report(done, total)
    while done < total:
        clock.now += seconds
        done = min(done + 64, total)
        report(done, total)
    return said


def test_the_first_batches_tell_how_long_encoding_takes_and_how_long_with_fewer_views(clock: Clock) -> None:
    assert estimate(clock, views=4, seconds=12) == [
        "Encoding takes about 10 minutes with 4 augmented views of each image, about 6 minutes with --views 2 and "
        "2 minutes with --views 0. Images that were encoded before take no time."
    ]
    assert estimate(clock, views=0, seconds=12) == [
        "Encoding takes about 2 minutes with 0 augmented views of each image."
    ]


def test_quick_and_cached_encoding_is_not_worth_a_sentence(clock: Clock) -> None:
    assert estimate(clock, views=4, seconds=1) == []
    assert estimate(clock, views=4, seconds=12, cached=640 * 5 - 64) == []
