import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chisquare, kstest, pearsonr

from srrs.core.keyed import bit_keys, content_keys, folds, uniforms

KEYS = arrays(np.uint64, st.integers(1, 30))
FEATURES = np.random.default_rng(0).standard_normal((20_000, 8)).astype(np.float32)


def test_equal_pictures_have_equal_keys_and_others_have_others() -> None:
    keys = content_keys(np.concatenate([FEATURES, FEATURES[:5]]))
    np.testing.assert_array_equal(keys[-5:], keys[:5])
    assert len(set(keys.tolist())) == len(FEATURES)


def test_keys_depend_on_the_stored_precision_alone() -> None:
    halves = FEATURES[:50].astype(np.float16)
    np.testing.assert_array_equal(content_keys(FEATURES[:50]), content_keys(halves))
    keys = content_keys(halves)
    np.testing.assert_array_equal(keys, content_keys(halves.astype(np.float64)))
    np.testing.assert_array_equal(keys, content_keys(np.asfortranarray(halves)))


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
    keys = np.arange(20_000, dtype=np.uint64) if counting else content_keys(FEATURES)
    assert kstest(uniforms(keys, *numbers), "uniform").pvalue > 1e-3


def test_other_numbers_give_unrelated_draws() -> None:
    keys = content_keys(FEATURES)
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


def test_folds_are_of_about_one_size_and_pictures_that_are_equal_share_one() -> None:
    keys = content_keys(FEATURES)
    found = folds(keys, 4, seed=3)
    assert set(found.tolist()) == {0, 1, 2, 3}
    assert chisquare(np.bincount(found)).pvalue > 1e-3
    assert (folds(np.repeat(keys[:9], 2), 4, seed=3).reshape(9, 2) == found[:9, None]).all()
    assert (folds(keys, 4, seed=4) != found).mean() > 0.6


@pytest.mark.parametrize("size", [7, 8, 512])
def test_keys_by_bits_are_as_distinct_and_as_even_as_digests(size: int) -> None:
    features = np.random.default_rng(1).standard_normal((5_000, size)).astype(np.float16)
    one_bit = features[:50].copy().view(np.uint16)
    one_bit[np.arange(50), np.arange(50) % size] ^= 1
    keys = bit_keys(np.concatenate([features, one_bit.view(np.float16), features[:5]]))
    np.testing.assert_array_equal(keys[-5:], keys[:5])
    assert len(set(keys.tolist())) == 5_050
    assert kstest(uniforms(keys[:5_000], 0), "uniform").pvalue > 1e-3
    np.testing.assert_array_equal(bit_keys(features.astype(np.float64)), keys[:5_000])


def test_keys_by_bits_tell_the_signs_of_features_apart() -> None:
    features = np.random.default_rng(2).standard_normal(64).astype(np.float16)
    signs = np.array(np.meshgrid(*[[-1, 1]] * 8)).reshape(8, -1).T
    turned = np.tile(features, (len(signs), 1))
    turned[:, 3::8] *= signs  # the highest bit of every second word
    assert len(set(bit_keys(turned.astype(np.float16)).tolist())) == len(signs)
