"""Rules with a linear classifier and a transition matrix: what they find, and that rows do not matter."""

from functools import partial

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from srrs.core.metrics import label_noise
from srrs.records import Group
from srrs.screening.corrected import forward_corrected, mbem, volminnet

RULES = {
    "dual-t": partial(forward_corrected, matrix="dual-t"),
    "hoc": forward_corrected,
    "given": partial(forward_corrected, matrix=0.7 * np.eye(4) + 0.1),
    "volminnet": volminnet,
    "mbem": mbem,
}


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, ...]:
    """Truth, labels of which 30 % are wrong, and features in clusters that touch."""
    generator = np.random.default_rng(0)
    truth = np.arange(400) % 4
    labels = np.where(generator.random(400) < 0.3, (truth + generator.integers(1, 4, 400)) % 4, truth)
    return truth, labels, np.eye(4, 12)[truth] + 0.35 * generator.standard_normal((400, 12))


@pytest.mark.parametrize("name", RULES)
def test_wrong_labels_are_ranked_low_and_the_posterior_is_righter_than_the_labels(name: str, drawn, keys) -> None:
    truth, labels, features = drawn
    found = RULES[name](labels, features, keys(400), 4)
    assert average_precision_score(labels != truth, 1 - found.p_clean) > 0.85
    assert label_noise(found.posterior.argmax(1), truth) < 0.9 * label_noise(labels, truth)
    assert found.noise.low <= found.noise.rate <= found.noise.high
    np.testing.assert_allclose(found.posterior.sum(1), 1)


@pytest.mark.parametrize("name", RULES)
def test_permuting_samples_permutes_the_partition(name: str, drawn, keys) -> None:
    _, labels, features = drawn
    order = np.random.default_rng(3).permutation(400)
    here = RULES[name](labels, features, keys(400), 4)
    there = RULES[name](labels[order], features[order], keys(400)[order], 4)
    np.testing.assert_array_equal(there.group, here.group[order])
    np.testing.assert_allclose(there.posterior, here.posterior[order], atol=1e-6)


@pytest.mark.parametrize("rule", [forward_corrected, volminnet, mbem])
def test_few_samples_and_a_class_without_labels_do_no_harm(rule, keys) -> None:
    features = np.random.default_rng(0).standard_normal((6, 3))
    found = rule(np.array([0, 0, 1, 1, 2, 2]), features, keys(6), 5)
    assert np.isfinite(found.posterior).all()
    assert set(found.group.tolist()) <= set(Group)


def test_a_matrix_that_nobody_estimates_is_refused(keys) -> None:
    with pytest.raises(ValueError, match="the matrix 'dual-t' or 'hoc', but got 'anchors'"):
        forward_corrected(np.zeros(4, int), np.zeros((4, 2)), keys(4), 2, matrix="anchors")
