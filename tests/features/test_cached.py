"""Cached features against plain numpy; what lies on disk is read where it is needed and nowhere else."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from srrs.core import blocks
from srrs.features.cached import CachedFeatures
from srrs.methods.spec import method
from srrs.records import Features
from srrs.training.loop import train
from srrs.training.schedule import Schedule
from srrs.tuners import Foundation, LinearProbe

N, V, D = 40, 2, 8
KEYS = np.random.default_rng(0).integers(0, 2**64, N, dtype=np.uint64)


def unit(*shape: int, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal(shape)
    return (drawn / np.linalg.norm(drawn, axis=-1, keepdims=True)).astype(np.float16)


@pytest.fixture
def features() -> Features:
    return Features(unit(N, D), unit(N, V, D, seed=1))


def every_view(features: Features) -> np.ndarray:
    plain, views = features.rows(slice(None))
    return np.concatenate([plain[:, None], views], 1).astype(np.float32)


@pytest.fixture(params=[False, True])
def large(request, monkeypatch) -> bool:
    """Whether forty samples count as very many."""
    if request.param:
        monkeypatch.setattr(blocks, "WHOLE", 15)
        monkeypatch.setattr(blocks, "ROWS", 7)
    return request.param


def test_a_batch_holds_the_views_asked_for_side_by_side(features: Features) -> None:
    rows, views = np.array([7, 3, 3]), np.array([[0, 2], [1, 0], [2, 2]])
    found = CachedFeatures(features, KEYS).batch(rows, views)
    assert found.pixels is None
    assert found.features.dtype == torch.float32
    np.testing.assert_array_equal(found.features, every_view(features)[rows[:, None], views].reshape(6, D))


def test_the_mean_view_is_the_mean_over_all_views(features: Features, large: bool) -> None:
    source, expected = CachedFeatures(features, KEYS), every_view(features).mean(1)
    np.testing.assert_allclose(source.mean_view(slice(None)), expected, atol=1e-6)
    np.testing.assert_allclose(source.mean_view(slice(5, 9)), expected[5:9], atol=1e-6)
    found, length = source.unit_features(), np.linalg.norm(expected, axis=1, keepdims=True)
    assert found.dtype == (np.float16 if large else np.float32)
    np.testing.assert_allclose(found, expected / length, atol=1e-3 if large else 1e-6)


def test_without_augmented_views_the_mean_is_the_plain_view(large: bool) -> None:
    source = CachedFeatures(Features(unit(N, D), unit(N, 0, D)), KEYS)
    assert (source.augmented, source.feature_size) == (0, D)
    np.testing.assert_array_equal(source.mean_view(slice(3, 6)), unit(N, D)[3:6].astype(np.float32))
    assert (source.unit_features() is source.features.plain) is large


def test_some_rows_of_larger_arrays_are_a_source_of_their_own(features: Features, large: bool) -> None:
    rows = np.random.default_rng(1).permutation(N)[:20]
    some = CachedFeatures(features.take(rows, 1), KEYS[rows])
    assert (len(some.keys), some.augmented) == (20, 1)
    assert some.features.plain is features.plain
    at, views = np.array([4, 11]), np.array([[1, 0], [0, 1]])
    whole = CachedFeatures(features, KEYS)
    np.testing.assert_array_equal(some.batch(at, views).features, whole.batch(rows[at], views).features)
    np.testing.assert_allclose(some.mean_view(slice(None)), every_view(features)[rows, :2].mean(1), atol=1e-6)


def test_a_key_is_needed_for_each_sample(features: Features) -> None:
    with pytest.raises(ValueError, match="expected a key for each of 40 samples, but got 39"):
        CachedFeatures(features, KEYS[:-1])


class OnDisk:
    """Features that can be read by row but never as a whole."""

    def __init__(self, array: np.ndarray):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.most = 0

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, rows) -> np.ndarray:
        found = self.array[rows]
        self.most = max(self.most, len(found))
        return found

    def __array__(self, *_, **__) -> np.ndarray:
        raise AssertionError("all features were read at once")


def test_a_run_over_very_many_samples_reads_a_batch_or_a_block_at_a_time(large: bool) -> None:
    if not large:
        return
    plain, views = OnDisk(unit(N, D)), OnDisk(unit(N, V, D, seed=1))
    source = CachedFeatures(Features(plain, views), KEYS)
    probe = LinearProbe(Foundation(("a", "b"), D, 100.0, torch.device("cpu")))
    tuned = train(method("coop(tuners=probe)"), [probe], source, np.arange(N) % 2, Schedule(steps=3, batch=10))
    assert len(tuned.predicted["probe"]) == N
    assert plain.most == views.most == 10


@pytest.fixture
def mapped(tmp_path: Path) -> np.ndarray:
    """20,000 x 256 features in a file that may only be read: 10 MB, and 20 MB in float32."""
    path = tmp_path / "features.bin"
    np.memmap(path, np.float16, "w+", shape=(20_000, 256))[:] = 1 / 16
    return np.memmap(path, np.float16, "r", shape=(20_000, 256))


def test_a_batch_of_a_file_takes_memory_for_its_own_rows_only(mapped: np.ndarray) -> None:
    source = CachedFeatures(
        Features(mapped, np.empty((20_000, 0, 256), np.float16)), np.arange(20_000, dtype=np.uint64)
    )
    rows = np.arange(0, 20_000, 100)
    tracemalloc.start()
    try:
        found = source.batch(rows, np.zeros((200, 1), np.int64))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * found.features.numel() * 4  # 0.6 MB
    np.testing.assert_array_equal(found.features, np.float32(mapped[rows]))
    assert isinstance(source.features.plain, np.memmap)
