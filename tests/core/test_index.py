"""The index against the exact search, and what must not change its answers."""

import numpy as np
import pytest
import torch

from srrs.core import blocks, index
from srrs.core.duplicates import near_among, near_duplicates
from srrs.core.index import Index, neighbors_of_many, unsearchable
from srrs.core.neighbors import nearest

pytest.importorskip("faiss", reason="the index is an extra")
KEYS = np.random.default_rng(1).permutation(3_000).astype(np.uint64)


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    rng = np.random.default_rng(0)
    found = rng.normal(size=(30, 32))[np.arange(3_000) % 30] + rng.normal(size=(3_000, 32))
    found[7] = found[1]
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)


@pytest.fixture(autouse=True)
def _many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "WHOLE", 2_999)
    monkeypatch.setattr(index, "ROWS", 500)


def test_nearly_all_of_the_nearest_are_found(features) -> None:
    exact, cosines = nearest(features, 10)
    found, similarity = Index(features).nearest(10)
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact.tolist(), found.tolist(), strict=True)]) > 0.95
    same = found[:, 0] == exact[:, 0]
    np.testing.assert_allclose(similarity[same, 0], cosines[same, 0], atol=1e-3)
    assert found[7, 0] == 1
    assert not (found == np.arange(3_000)[:, None]).any()


def test_neither_the_order_of_rows_nor_the_number_of_threads_changes_an_answer(features) -> None:
    found, similarity = neighbors_of_many(features, KEYS)
    order, before = np.random.default_rng(2).permutation(3_000), torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        moved, theirs = neighbors_of_many(features[order], KEYS[order])
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(order[moved], found[order])
    assert np.array_equal(theirs, similarity[order])


def test_few_samples_are_not_searched_by_an_index(features, monkeypatch) -> None:
    monkeypatch.setattr(blocks, "WHOLE", 3_000)
    assert neighbors_of_many(features, KEYS) is None
    assert unsearchable(3_000, 32) == ""


def test_what_is_left_out_is_said(monkeypatch) -> None:
    monkeypatch.setattr(index, "MOST", 3_000 * 32 - 1)
    assert "more than 2,999 images of 32 numbers would take" in unsearchable(3_000, 32)
    monkeypatch.setattr(index, "MOST", 2**31)
    monkeypatch.setattr(index, "installed", lambda: False)
    assert unsearchable(3_000, 32).endswith("that needs an index (pip install 'srrs[index]').")


def test_near_duplicates_are_found_among_the_neighbors(features) -> None:
    looks = np.eye(3_000, 64)[np.arange(3_000)]
    looks[7] = looks[1]
    near = near_among(features, looks, Index(features).nearest(5)[0])
    exact = near_duplicates(features, looks, features, looks, np.arange(3_000))
    assert near.tolist() == exact.tolist()
    assert near[[1, 7]].tolist() == [7, 1]
