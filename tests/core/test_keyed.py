import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chisquare, kstest, pearsonr

from srrs.core.keyed import RANK_BITS, chosen, folds, uniforms

KEYS = arrays(np.uint64, st.integers(1, 30))
RANDOM = np.random.default_rng(0).integers(0, 2**64, 20_000, dtype=np.uint64)


@settings(max_examples=40, deadline=None)
@given(KEYS, st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_draws_depend_neither_on_the_order_nor_on_other_rows(keys: np.ndarray, seed: int, random) -> None:
    order = np.array(random.sample(range(len(keys)), len(keys)))
    drawn = uniforms(keys, seed, 3)
    np.testing.assert_array_equal(uniforms(keys[order], seed, 3), drawn[order])
    np.testing.assert_array_equal(uniforms(keys[:1], seed, 3), drawn[:1])
    np.testing.assert_array_equal(folds(keys[order], 5, seed), folds(keys, 5, seed)[order])


@settings(max_examples=40, deadline=None)
@given(KEYS, st.lists(st.integers(-(2**70), 2**70), max_size=3))
def test_any_keys_and_numbers_give_draws_in_the_unit_interval(keys: np.ndarray, numbers: list[int]) -> None:
    drawn = uniforms(keys, *numbers)
    assert drawn.shape == keys.shape
    assert ((drawn >= 0) & (drawn < 1)).all()


@pytest.mark.parametrize("numbers", [(), (0,), (1,), (7, 11, 0), (7, 11, 1)])
@pytest.mark.parametrize("counting", [False, True])
def test_draws_look_uniform(numbers: tuple[int, ...], counting: bool) -> None:
    """Even for keys that merely count, once a number has mixed them."""
    if counting and not numbers:
        return
    keys = np.arange(20_000, dtype=np.uint64) if counting else RANDOM
    assert kstest(uniforms(keys, *numbers), "uniform").pvalue > 1e-3


def test_other_numbers_give_unrelated_draws() -> None:
    keys = RANDOM
    first = uniforms(keys, 1, 2)
    for numbers in ((1, 3), (2, 2), (2, 1), (1, 2, 0), (1,)):
        assert abs(pearsonr(first, uniforms(keys, *numbers)).statistic) < 0.03


def by_hand(key: int, *numbers: int) -> float:
    """The same in whole numbers of any size, cut to 64 bits."""
    bits = 2**64
    for number in numbers:
        key = (key + number * 0x9E3779B97F4A7C15 + 1) % bits
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
            key = (key ^ (key >> shift)) * factor % bits
    return (key >> 11) / 2**53


@settings(max_examples=40, deadline=None)
@given(KEYS, st.lists(st.integers(-(2**63), 2**64), max_size=3))
def test_draws_are_splitmix_in_whole_numbers(keys: np.ndarray, numbers: list[int]) -> None:
    assert uniforms(keys, *numbers).tolist() == [by_hand(int(key), *numbers) for key in keys]


def test_draws_stay_the_same_in_every_version() -> None:
    """A saved run goes on with these bits."""
    drawn = uniforms(np.array([0, 1, 2**63], dtype=np.uint64), 1, 11, 5)
    assert drawn.tolist() == [0.30762442628543196, 0.19908150280180892, 0.2921390546364181]


def test_folds_are_of_about_one_size_and_copies_of_an_image_share_one() -> None:
    keys = RANDOM
    found = folds(keys, 4, seed=3)
    assert set(found.tolist()) == {0, 1, 2, 3}
    assert chisquare(np.bincount(found)).pvalue > 1e-3
    content = keys[:9] >> np.uint64(RANK_BITS) << np.uint64(RANK_BITS)
    copies = content[:, None] + np.array([0, 1, 2**RANK_BITS - 1], np.uint64)
    assert (folds(copies.ravel(), 4, seed=3).reshape(9, 3) == found[:9, None]).all()
    assert (folds(keys, 4, seed=4) != found).mean() > 0.6


def test_keys_that_count_are_spread_over_folds() -> None:
    assert chisquare(np.bincount(folds(np.arange(20_000, dtype=np.uint64), 4, seed=3))).pvalue > 1e-3


DISTINCT = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=40, unique=True)


@settings(max_examples=60, deadline=None)
@given(DISTINCT, st.integers(0, 45), st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_a_draw_takes_each_sample_once_whatever_the_order_of_the_rows(
    numbers: list[int], count: int, seed: int, random
) -> None:
    keys = np.array(numbers, np.uint64)
    rows = chosen(keys, count, seed, 3)
    assert len(rows) == min(count, len(keys))
    assert (np.diff(rows) > 0).all()
    order = np.array(random.sample(range(len(keys)), len(keys)))
    moved = chosen(keys[order], count, seed, 3)
    assert set(keys[order][moved].tolist()) == set(keys[rows].tolist())


def test_a_draw_takes_the_samples_of_the_lowest_uniforms() -> None:
    rows = chosen(RANDOM, 100, 5, 11)
    np.testing.assert_array_equal(rows, np.sort(np.argsort(uniforms(RANDOM, 5, 11))[:100]))


def test_every_sample_is_drawn_equally_often_and_other_numbers_draw_others() -> None:
    keys = RANDOM[:50]
    counts = np.bincount(np.concatenate([chosen(keys, 10, 1, step) for step in range(500)]), minlength=50)
    assert chisquare(counts).pvalue > 1e-3
    assert chosen(keys, 10, 1, 2).tolist() != chosen(keys, 10, 2, 1).tolist()


def test_a_draw_of_more_than_there_are_is_all_of_them() -> None:
    for count in (50, 51, 10**9):
        np.testing.assert_array_equal(chosen(RANDOM[:50], count, 1), np.arange(50))
    assert chosen(RANDOM[:0], 3, 1).tolist() == chosen(RANDOM[:3], 0, 1).tolist() == []
