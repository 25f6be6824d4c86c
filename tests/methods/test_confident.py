"""Confident learning as a screening stage."""

from dataclasses import replace

import numpy as np

from srrs.core.confident import confident_joint, label_issues, out_of_fold_probs
from srrs.core.keyed import content_keys
from srrs.methods.confident import confident
from srrs.records import Group


def test_issues_are_noisy_and_the_quality_is_the_out_of_fold_self_confidence(evidence) -> None:
    given = evidence(n=80)
    found, memory = confident(strength=2.0, fold_count=4, seed=3)(given, {})
    probs = out_of_fold_probs(
        given.features, given.labels, content_keys(given.features), 3, fold_count=4, seed=3, strength=2.0
    )
    np.testing.assert_array_equal(found.group == Group.NOISY, label_issues(probs, given.labels))
    np.testing.assert_array_equal(found.p_clean, probs[np.arange(80), given.labels])
    joint = confident_joint(probs, given.labels)
    assert found.noise.rate == 1 - np.trace(joint) / 80
    assert found.noise.low <= found.noise.rate <= found.noise.high
    assert memory == {}


def test_wrong_labels_of_well_separated_pictures_are_found(evidence) -> None:
    shown = np.arange(90) % 3
    given_labels = np.where(np.arange(90) % 10 == 0, (shown + 1) % 3, shown)
    features = np.eye(8)[shown] + 0.1 * np.random.default_rng(0).standard_normal((90, 8))
    found, _ = confident()(replace(evidence(labels=given_labels, n=90), features=features), {})
    np.testing.assert_array_equal(found.group == Group.NOISY, given_labels != shown)
    assert abs(found.noise.rate - 0.1) < 0.03
