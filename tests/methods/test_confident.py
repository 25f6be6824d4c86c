"""Confident learning as a screening stage."""

from dataclasses import replace

import numpy as np
import pytest

from srrs.core.confident import confident_joint, label_issues, out_of_fold_probs
from srrs.methods.screen_features import confident_learning, out_of_fold_probe
from srrs.records import Group
from srrs.screening import confident


def test_issues_are_noisy_and_the_quality_is_the_out_of_fold_self_confidence(evidence) -> None:
    given = evidence(n=80)
    found, memory = confident_learning(strength=2.0, fold_count=4, seed=3)(given, {})
    probs = out_of_fold_probs(given.features, given.labels, given.keys, 3, fold_count=4, seed=3, strength=2.0)
    np.testing.assert_array_equal(found.group == Group.NOISY, label_issues(probs, given.labels))
    np.testing.assert_array_equal(found.p_clean, probs[np.arange(80), given.labels])
    joint = confident_joint(probs, given.labels)
    assert found.noise.rate == 1 - np.trace(joint) / 80
    assert found.noise.low <= found.noise.rate <= found.noise.high
    assert memory == {}


def test_wrong_labels_of_well_separated_images_are_found(evidence) -> None:
    shown = np.arange(90) % 3
    given_labels = np.where(np.arange(90) % 10 == 0, (shown + 1) % 3, shown)
    features = np.eye(8)[shown] + 0.1 * np.random.default_rng(0).standard_normal((90, 8))
    found, _ = confident_learning()(replace(evidence(labels=given_labels, n=90), features=features), {})
    np.testing.assert_array_equal(found.group == Group.NOISY, given_labels != shown)
    assert abs(found.noise.rate - 0.1) < 0.03


def test_the_rule_on_arrays_flags_what_cleanlab_flags() -> None:
    cleanlab = pytest.importorskip("cleanlab", reason="cleanlab is not installed")
    generator = np.random.default_rng(1)
    truth = generator.integers(0, 4, 300)
    labels = np.where(generator.random(300) < 0.2, (truth + 1) % 4, truth)
    probs = np.array([generator.dirichlet(np.ones(4) + 6 * np.eye(4)[k]) for k in truth])
    found = confident.confident_learning(labels, probs)
    theirs = cleanlab.filter.find_label_issues(labels, probs, n_jobs=1)
    np.testing.assert_array_equal(found.group == Group.NOISY, theirs)


def test_a_probe_trusts_every_label_and_ranks_by_what_other_folds_say_of_it(evidence) -> None:
    given = evidence(n=80)
    found, _ = out_of_fold_probe(strength=2.0, fold_count=4)(given, {})
    probs = out_of_fold_probs(given.features, given.labels, given.keys, 3, fold_count=4, strength=2.0)
    np.testing.assert_array_equal(found.p_clean, probs[np.arange(80), given.labels])
    assert (found.group == Group.CLEAN).all()
