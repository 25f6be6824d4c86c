import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from srrs.core.labels import mixup_pairs, one_hot, sharpen, three_way
from srrs.records import Group


def random_probs(generator: np.random.Generator, n: int, classes: int, scale: float = 3) -> np.ndarray:
    return softmax(generator.normal(0, scale, (n, classes)), axis=1)


def test_one_hot_by_hand() -> None:
    np.testing.assert_array_equal(one_hot(np.array([2, 0]), 3), [[0, 0, 1], [1, 0, 0]])
    assert one_hot(np.array([], int), 3).shape == (0, 3)


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0]])
def test_labels_outside_the_classes_are_refused(labels: list[int]) -> None:
    with pytest.raises(ValueError, match=r"labels in 0\.\.2, but they run from"):
        one_hot(np.array(labels), 3)


def test_sharpening_by_hand() -> None:
    p = np.array([[0.6, 0.3, 0.1]])
    np.testing.assert_allclose(sharpen(p, 2), [[0.36 / 0.46, 0.09 / 0.46, 0.01 / 0.46]])
    np.testing.assert_allclose(sharpen(p, 1), p)
    np.testing.assert_allclose(sharpen(np.array([[1e-300, 1e-301]]), 2), [[1 / 1.01, 0.01 / 1.01]])


def test_sharpening_refuses_an_empty_row() -> None:
    with pytest.raises(ValueError, match="row 1 has none"):
        sharpen(np.array([[1.0, 0], [0, 0]]), 2)


def test_three_way_follows_a_hand_table() -> None:
    pseudo = np.array([[0.2, 0.8]] * 4)
    group = np.array([Group.CLEAN, Group.AMBIGUOUS, Group.NOISY, Group.OUTSIDE])
    soft = three_way(group, np.zeros(4, int), np.array([0.9, 0.5, 0.9, 0.9]), pseudo, exponent=2)
    blend = np.array([0.5 + 0.1, 0.4]) ** 2
    noisy = np.array([0.04, 0.64]) / 0.68
    np.testing.assert_allclose(soft, [[1, 0], blend / blend.sum(), noisy, noisy])


@given(st.integers(0, 2**32), st.integers(0, 30), st.integers(2, 7), st.sampled_from([0.5, 1, 2, 8]))
def test_rectified_and_mixed_rows_sum_to_one_and_follow_a_permutation(
    seed: int, n: int, classes: int, exponent: float
) -> None:
    generator = np.random.default_rng(seed)
    pseudo = random_probs(generator, n, classes, scale=30)
    group, labels, p_clean = generator.integers(0, 3, n), generator.integers(0, classes, n), generator.random(n)
    soft = three_way(group, labels, p_clean, pseudo, exponent)
    np.testing.assert_allclose(soft.sum(1), 1)
    perm = generator.permutation(n)
    shuffled = three_way(group[perm], labels[perm], p_clean[perm], pseudo[perm], exponent)
    np.testing.assert_array_equal(shuffled, soft[perm])


def test_rectified_labels_have_the_precision_of_the_predictions() -> None:
    generator = np.random.default_rng(0)
    pseudo, p_clean = random_probs(generator, 50, 6), generator.random(50)
    group, labels = generator.integers(0, 3, 50), generator.integers(0, 6, 50)
    single = three_way(group, labels, p_clean, pseudo.astype(np.float32), 2)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, three_way(group, labels, p_clean, pseudo, 2), atol=1e-6)


def test_mixup_blends_each_unmatched_sample_with_a_matched_one_and_keeps_the_larger_share() -> None:
    matched = np.array([True, False, True, False, False] * 40)
    partner, share = mixup_pairs(matched, 1.0, np.random.default_rng(0))
    assert matched[partner[~matched]].all()
    assert len(np.unique(partner[~matched])) > 20
    np.testing.assert_array_equal(partner[matched], np.flatnonzero(matched))
    assert ((share[~matched] >= 0.5) & (share[~matched] < 1)).all()
    assert share[~matched].mean() == pytest.approx(0.75, abs=0.05)  # uniform on 0.5..1
    assert (share[matched] == 1).all()


def test_mixup_leaves_everything_when_all_match_or_alpha_is_zero() -> None:
    for matched, alpha in ((np.ones(4, bool), 1.0), (np.zeros(4, bool), 0.0)):
        partner, share = mixup_pairs(matched, alpha, np.random.default_rng(0))
        np.testing.assert_array_equal(partner, np.arange(4))
        np.testing.assert_array_equal(share, np.ones(4))


def test_mixup_without_any_match_mixes_among_all() -> None:
    partner, share = mixup_pairs(np.zeros(50, bool), 1.0, np.random.default_rng(0))
    assert len(np.unique(partner)) > 20
    assert (share < 1).all()
