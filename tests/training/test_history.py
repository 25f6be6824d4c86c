"""The screenings of a run, in files."""

import gc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from srrs.errors import DataError
from srrs.records import Group, NoiseEstimate, Partition, Targets
from srrs.training.history import History


def screening(rate: float = 1 / 3) -> SimpleNamespace:
    """As much of a round as a history keeps."""
    noise = NoiseEstimate(rate, 0.1, 0.5)
    partition = Partition(np.array([Group.CLEAN, Group.NOISY]), np.array([0.9, 0.2]), noise)
    return SimpleNamespace(noise=noise, partition=partition, targets=Targets(np.eye(2)[[1, 0]], np.ones(2)))


def test_screenings_come_back_in_the_order_of_their_steps(tmp_path: Path) -> None:
    history = History(tmp_path / "run")
    for step in (0, 10, 9):
        history.add(step, screening(rate=step / 20))
    assert len(history) == 3
    assert [(one.step, one.noise.rate) for one in history] == [(0, 0.0), (9, 0.45), (10, 0.5)]
    first = next(iter(history))
    np.testing.assert_array_equal(first.group, [Group.CLEAN, Group.NOISY])
    np.testing.assert_array_equal(first.target, [1, 0])
    np.testing.assert_array_equal(first.p_clean, np.float32([0.9, 0.2]))


def test_a_later_history_of_the_same_folder_reads_what_an_earlier_one_kept(tmp_path: Path) -> None:
    History(tmp_path).add(3, screening())
    assert [one.step for one in History(tmp_path)] == [3]


def test_a_screening_takes_the_place_of_an_earlier_one_of_its_step(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.add(0, screening(0.2))
    history.add(0, screening(0.4))
    assert [one.noise.rate for one in history] == [0.4]
    history.clear()
    assert len(history) == 0
    assert not list(tmp_path.iterdir())


def test_without_a_folder_the_files_go_with_the_history() -> None:
    history = History()
    assert (len(history), list(history), history.folder) == (0, [], None)
    history.add(0, screening())
    folder = history.folder
    assert len(list(folder.iterdir())) == len(history) == 1
    del history
    gc.collect()
    assert not folder.exists()


def test_a_history_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(DataError, match=r"Cannot write .*run/screening-000000.safetensors: .*Choose a path"):
        History(tmp_path / "run").add(0, screening())
