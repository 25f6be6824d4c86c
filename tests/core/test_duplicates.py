import numpy as np
import pytest

from srrs.core.duplicates import near_duplicates


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def scene() -> tuple[np.ndarray, np.ndarray]:
    """Forty samples; 3 and 30 are the same in both, 5 and 6 in features alone, 8 and 9 in pixels alone."""
    rng = np.random.default_rng(0)
    features, looks = unit(rng.normal(size=(40, 16))), unit(rng.normal(size=(40, 64)))
    features[30], looks[30] = features[3], looks[3]
    features[6], looks[9] = features[5], looks[8]
    return features, looks


@pytest.mark.parametrize("chunk", [1, 7, 512])
def test_near_duplicates_are_alike_in_features_and_in_pixels_whatever_the_block(scene, chunk) -> None:
    features, looks = scene
    found = near_duplicates(features, looks, features, looks, np.arange(40), chunk=chunk)
    assert {row: int(other) for row, other in enumerate(found) if other >= 0} == {3: 30, 30: 3}


def test_near_duplicates_are_found_among_others_and_a_blank_look_is_like_none(scene) -> None:
    features, looks = scene
    nowhere = np.full(40, -1)
    assert near_duplicates(features, looks, features[::-1], looks[::-1], nowhere)[0] == 39
    assert (near_duplicates(features, np.zeros_like(looks), features, looks, nowhere) == -1).all()
    assert (near_duplicates(features, looks, features[:0], looks[:0], nowhere) == -1).all()


def test_the_earlier_of_two_equal_near_duplicates_is_named() -> None:
    features, looks = np.ones((3, 1)), np.ones((3, 1))
    assert near_duplicates(features, looks, features, looks, np.arange(3)).tolist() == [1, 0, 0]
