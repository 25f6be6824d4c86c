"""Work in blocks gives what work at once gives."""

import numpy as np
import pytest
import torch

from srrs.core import blocks
from srrs.core.blocks import by_blocks, single


@pytest.mark.parametrize(("rows", "count"), [(0, 1), (10, 1), (11, 3), (12, 3), (13, 4)])
def test_blocks_cover_every_row_once_and_few_rows_are_one(monkeypatch, rows: int, count: int) -> None:
    monkeypatch.setattr(blocks, "WHOLE", 10)
    monkeypatch.setattr(blocks, "ROWS", 4)
    found = blocks.blocks(rows)
    assert len(found) == count
    np.testing.assert_array_equal(np.concatenate([np.arange(rows)[block] for block in found]), np.arange(rows))


@pytest.mark.parametrize("whole", [5, 100])
def test_arrays_made_by_blocks_are_those_made_at_once(monkeypatch, whole: int) -> None:
    monkeypatch.setattr(blocks, "WHOLE", whole)
    monkeypatch.setattr(blocks, "ROWS", 4)
    values = torch.from_numpy(np.random.default_rng(0).random((17, 3)).astype(np.float32))
    found = by_blocks(17, lambda rows: {"square": values[rows] ** 2, "first": values[rows, 0]})
    np.testing.assert_array_equal(found["square"], values**2)
    np.testing.assert_array_equal(found["first"], values[:, 0])
    assert found["square"].dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("writeable", [True, False])
def test_a_copy_in_single_precision_leaves_the_array_alone(dtype, writeable: bool) -> None:
    array = np.arange(4, dtype=dtype)
    array.flags.writeable = writeable
    single(array).add_(1)
    np.testing.assert_array_equal(array, [0, 1, 2, 3])
