"""Arrays that are mapped from disk give what arrays in memory give, and little of them stays in memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from srrs import mapped
from srrs.mapped import empty, gathered, release, taken


def test_large_arrays_are_kept_in_a_file(monkeypatch) -> None:
    monkeypatch.setattr(mapped, "IN_MEMORY", 10)
    array = empty((3, 4), np.float16)
    array[:] = 2
    assert isinstance(array, np.memmap)
    release(array)
    assert array.sum() == 24


def test_an_array_in_memory_is_left_alone_by_release() -> None:
    array = empty((3,), np.float32)
    array[:] = 1
    release(array)
    assert not isinstance(array, np.memmap)
    np.testing.assert_array_equal(array, 1)


@pytest.fixture
def on_disk(monkeypatch) -> np.ndarray:
    """Thirty rows of a mapped array, of which four at a time may be in memory."""
    monkeypatch.setattr(mapped, "IN_MEMORY", 10)
    monkeypatch.setattr(mapped, "KEPT", 10)
    monkeypatch.setattr(mapped, "ROWS_AT_ONCE", 4)
    array = empty((30, 5), np.float16)
    array[:] = np.random.default_rng(0).random((30, 5))
    return array


@pytest.mark.parametrize("rows", [[3], [7, 2, 2, 29, 0, 11, 5, 5, 8], [], slice(4, 19)])
def test_rows_of_a_mapped_array_are_those_of_its_copy(on_disk: np.ndarray, rows) -> None:
    chosen = rows if isinstance(rows, slice) else np.array(rows, dtype=np.int64)
    copy = np.array(on_disk)
    found = gathered(on_disk, chosen)
    np.testing.assert_array_equal(found, copy[chosen])
    assert found.dtype == np.float16


def test_taken_rows_are_read_as_an_array_is(on_disk: np.ndarray) -> None:
    order = np.random.default_rng(1).permutation(30)
    copy = np.array(on_disk)[order]
    rows = taken(on_disk, order)
    assert (len(rows), rows.shape, rows.ndim) == (30, (30, 5), 2)
    np.testing.assert_array_equal(rows[3], copy[3])
    np.testing.assert_array_equal(rows[np.array([9, 1, 4, 4, 20, 11])], copy[[9, 1, 4, 4, 20, 11]])
    np.testing.assert_array_equal(np.asarray(rows), copy)


MEASURED = """
import resource, sys
import numpy as np
from srrs.mapped import gathered
array = np.load(sys.argv[1], mmap_mode="r")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
gathered(array, np.random.default_rng(0).permutation(len(array))[:20_000])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is measured in kilobytes on Linux")
def test_few_rows_at_random_places_do_not_bring_the_whole_file_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "features.npy"
    array = np.lib.format.open_memmap(path, "w+", np.float16, (1_200_000, 256))
    array[::16] = 1
    array.flush()
    done = subprocess.run([sys.executable, "-c", MEASURED, str(path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 330_000  # of 614 MB
