"""CLIPCleaner's selection: both classifiers must trust a label."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from srrs.core.confident import linear_probe
from srrs.methods.screen_features import agreement
from srrs.records import Evidence, Group


@pytest.fixture
def scene(evidence) -> Evidence:
    """Three classes apart; zero-shot knows the first 60 samples; every tenth label is wrong."""
    generator = np.random.default_rng(0)
    shown = np.arange(90) % 3
    labels = np.where(np.arange(90) % 10 == 0, (shown + 1) % 3, shown)
    zero_shot = np.where(np.arange(90)[:, None] < 60, np.eye(3)[shown], 0) * 4 + generator.random((90, 3))
    features = np.eye(8)[shown] + 0.2 * generator.standard_normal((90, 8))
    return replace(
        evidence(labels=labels, n=90), features=features, zero_shot=zero_shot / zero_shot.sum(1, keepdims=True)
    )


def loop_selection(scene: Evidence) -> np.ndarray:
    """The four criteria, spelled out one sample at a time."""
    probe = linear_probe(scene.features, scene.labels, scene.features, 3, balanced=True)
    chosen = np.ones(90, dtype=bool)
    for probs in (scene.zero_shot, probe):
        own = probs[np.arange(90), scene.labels]
        chosen &= own / probs.max(1) >= 0.8
        for k in range(3):
            loss = -np.log(own[scene.labels == k])
            loss = ((loss - loss.min()) / np.ptp(loss))[:, None]
            fit = GaussianMixture(2, random_state=0).fit(np.sort(loss, axis=0))
            chosen[scene.labels == k] &= fit.predict_proba(loss)[:, fit.means_.argmin()] >= 0.5
    return chosen


def test_clean_is_what_both_classifiers_find_consistent_and_of_low_loss(scene) -> None:
    found, memory = agreement()(scene, {})
    np.testing.assert_array_equal(found.group == Group.CLEAN, loop_selection(scene))
    assert memory == {}


def test_noisy_is_what_neither_finds_consistent(scene) -> None:
    found, _ = agreement()(scene, {})
    wrong = np.arange(90) % 10 == 0
    assert (found.group[:60][wrong[:60]] == Group.NOISY).all()
    assert found.p_clean[wrong].mean() < 0.3 < found.p_clean[~wrong].mean()


def test_a_class_left_without_a_clean_sample_keeps_its_most_trusted_one(scene) -> None:
    strict, _ = agreement(consistency=(0.8, 0.8), mixture=1.1)(scene, {})
    for k in range(3):
        members = np.flatnonzero(scene.labels == k)
        clean = members[strict.group[members] == Group.CLEAN]
        assert clean.tolist() == [members[strict.p_clean[members].argmax()]]


def test_a_class_of_a_single_sample_or_of_none_does_no_harm(scene) -> None:
    few = np.array([0, 1, 4, 7, 10])
    parts = {name: getattr(scene, name)[few] for name in ("keys", "labels", "zero_shot", "features")}
    small = replace(scene, logits={}, voters=(), **parts)
    found, _ = agreement()(small, {})
    assert ((found.p_clean >= 0) & (found.p_clean <= 1)).all()
