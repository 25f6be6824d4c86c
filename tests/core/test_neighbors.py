import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from srrs.core.neighbors import label_agreement, nearest


def features_of(n: int, size: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, size)).astype(np.float32)


@pytest.mark.parametrize("chunk", [1, 7, 512])
def test_neighbors_are_scikit_learns(chunk: int) -> None:
    features = features_of(60)
    distance, theirs = NearestNeighbors(n_neighbors=6, metric="cosine").fit(features).kneighbors(features)
    indices, similarity = nearest(features, 5, chunk)
    np.testing.assert_array_equal(indices, theirs[:, 1:])
    np.testing.assert_allclose(similarity, 1 - distance[:, 1:], atol=2e-6)


def test_among_equals_the_earlier_sample_comes_first() -> None:
    features = np.array([[1, 0], [0, 1], [1, 0], [1, 0], [2, 0]], np.float16)
    indices, similarity = nearest(features, 2)
    np.testing.assert_array_equal(indices, [[2, 3], [0, 2], [0, 3], [0, 2], [0, 2]])
    np.testing.assert_array_equal(similarity[:, 0], [1, 0, 1, 1, 1])


def test_duplicates_never_name_a_sample_its_own_neighbor() -> None:
    indices, _ = nearest(np.ones((9, 3)), 8)
    for i, row in enumerate(indices):
        assert sorted([*row, i]) == list(range(9))


def test_a_zero_vector_is_similar_to_none() -> None:
    _, similarity = nearest(np.array([[0.0, 0], [1, 0], [1, 0]]), 2)
    np.testing.assert_array_equal(similarity, [[0, 0], [1, 0], [1, 0]])


@settings(max_examples=25, deadline=None, derandomize=True)  # a tie among random features is possible
@given(st.integers(3, 40), st.integers(1, 6), st.integers(0, 99))
def test_agreement_is_the_share_of_like_labels_and_follows_a_permutation(n: int, k: int, seed: int) -> None:
    features, labels = features_of(n, seed=seed), np.random.default_rng(seed).integers(0, 3, n)
    agreement = label_agreement(features, labels, k, chunk=8)
    kept = min(k, n - 1)
    theirs = NearestNeighbors(n_neighbors=kept + 1, metric="cosine").fit(features).kneighbors(features)[1][:, 1:]
    np.testing.assert_allclose(agreement, (labels[theirs] == labels[:, None]).mean(1))
    perm = np.random.default_rng(seed).permutation(n)
    np.testing.assert_array_equal(label_agreement(features[perm], labels[perm], k), agreement[perm])


def test_a_single_sample_has_no_neighbor_to_agree_with() -> None:
    assert np.isnan(label_agreement(np.ones((1, 4)), np.array([0]), 5)).all()
    assert label_agreement(np.ones((0, 4)), np.array([], int), 5).shape == (0,)


@pytest.mark.parametrize("k", [0, 3])
def test_more_neighbors_than_there_are_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match="k from 1 to 2"):
        nearest(np.ones((3, 2)), k)


def test_features_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="finite features"):
        nearest(np.array([[1.0], [np.nan], [1.0]]), 1)
