"""Robust Similarity: prompts and images, and how their weights shift."""

from dataclasses import replace

import numpy as np
import pytest

from srrs.core.mixture import fit_two, posterior_low
from srrs.methods.screen import robust_similarity
from srrs.records import Group
from srrs.screening.similarity import class_distances


@pytest.mark.parametrize("chunk", [1, 5, 512])
def test_distances_are_to_the_pictures_labeled_alike(evidence, chunk: int) -> None:
    given = evidence(n=30)
    expected = [
        np.linalg.norm(given.features[given.labels == label] - one, axis=1).mean()
        for one, label in zip(given.features, given.labels, strict=True)
    ]
    np.testing.assert_allclose(class_distances(given.features, given.labels, chunk), expected, atol=1e-6)


def standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean()) / values.std()


@pytest.mark.parametrize(("screenings", "alpha"), [(0, 0.2), (5, 0.2 * np.exp(10 / 35)), (25, 0.8345)])
def test_the_prompts_weigh_ever_more_over_the_screenings(evidence, probs_of, screenings: int, alpha: float) -> None:
    given = evidence(labels=np.zeros(30, int), learners=1)
    memory = {}
    for _ in range(screenings + 1):
        found, memory = robust_similarity(rounds=25)(given, memory)
    belief, distance = np.log(probs_of(given)[:, 0, 0]), class_distances(given.features, given.labels)
    similarity = alpha * standard(belief) - (1 - alpha) * standard(distance)
    expected = posterior_low(-similarity, fit_two(-similarity, 0, max_iter=10, tol=1e-2))
    np.testing.assert_allclose(found.p_clean, expected, atol=1e-3)
    np.testing.assert_array_equal(found.group == Group.CLEAN, found.p_clean >= 0.5)
    assert memory["similarity_screenings"].tolist() == [screenings + 1]


def test_a_picture_unlike_its_class_is_noisy(evidence) -> None:
    shown = np.arange(60) % 3
    labels = np.where(np.arange(60) % 10 == 0, (shown + 1) % 3, shown)
    features = np.eye(8)[shown] + 0.1 * np.random.default_rng(0).standard_normal((60, 8))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    probs = (0.8 * np.eye(3)[shown] + 0.2 / 3)[:, None]
    found, _ = robust_similarity()(replace(evidence(labels=labels, probs=probs), features=features), {})
    np.testing.assert_array_equal(found.group == Group.NOISY, labels != shown)


def test_a_class_of_one_sample_or_of_equal_ones_is_clean(evidence) -> None:
    given = evidence(labels=np.array([0, 1, 1, 1]), n=4, learners=1)
    given.features[:] = given.features[0]
    given.logits["macro"][:] = given.logits["macro"][0]
    found, _ = robust_similarity()(given, {})
    assert (found.group == Group.CLEAN).all()
