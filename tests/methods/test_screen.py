"""Screening stages: what they read, remember and hand to the rules of `srrs.screening`."""

from dataclasses import replace

import numpy as np
import pytest

from srrs.methods.memory import recall
from srrs.methods.screen import bands, transition, trust_all, two_way
from srrs.records import Group
from srrs.screening.mixtures import gmm_bands, gmm_two_way
from srrs.screening.pooled import by_transition
from srrs.screening.predictions import given_probs, mean_entropy, mean_probs, screening_losses


def joint_loss(probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The paper's Eq. 2-5 for probabilities (N, 2, C)."""
    rows, (a, b) = np.arange(len(labels)), np.swapaxes(probs, 0, 1)
    cross = -np.log(a[rows, labels]) - np.log(b[rows, labels])
    jeffreys = ((a - b) * (np.log(a) - np.log(b))).sum(1)
    return cross + 0.5 * jeffreys - 0.001 * ((a * np.log(a)).sum(1) + (b * np.log(b)).sum(1))


def test_predictions_are_means_over_the_classifiers(evidence, probs_of) -> None:
    given = evidence(n=40)
    probs, logits = probs_of(given), list(given.logits.values())
    np.testing.assert_allclose(mean_probs(logits), probs.mean(1), rtol=1e-5)
    np.testing.assert_allclose(given_probs(logits, given.labels), probs.mean(1)[np.arange(40), given.labels], rtol=1e-5)
    np.testing.assert_allclose(mean_entropy(logits), -(probs * np.log(probs)).sum(2).mean(1), rtol=1e-5)
    np.testing.assert_allclose(screening_losses(logits, given.labels), joint_loss(probs, given.labels), rtol=1e-4)
    alone = -np.log(probs[np.arange(40), 0, given.labels])
    np.testing.assert_allclose(screening_losses(logits[:1], given.labels), alone, rtol=1e-4)


def test_predictions_in_blocks_are_those_at_once(evidence, monkeypatch) -> None:
    given = evidence(n=50)
    logits = list(given.logits.values())
    whole = mean_probs(logits), screening_losses(logits, given.labels)
    monkeypatch.setattr("srrs.core.blocks.WHOLE", 20)
    monkeypatch.setattr("srrs.core.blocks.ROWS", 7)
    np.testing.assert_allclose(mean_probs(logits), whole[0], rtol=1e-6)
    np.testing.assert_allclose(screening_losses(logits, given.labels), whole[1], rtol=1e-6)


@pytest.mark.parametrize(("stage", "rule"), [(bands, gmm_bands), (two_way, gmm_two_way)])
def test_stages_average_the_loss_over_the_last_screenings(evidence, probs_of, stage, rule) -> None:
    memory, losses = {"other": np.arange(3)}, []
    for seed in range(5):
        look = evidence(n=80, labels=np.arange(80) % 3, seed=seed)
        losses.append(joint_loss(probs_of(look), look.labels))
        before = dict(memory)
        found, after = stage(remember=3)(look, memory)
        assert memory.keys() == before.keys()  # what is remembered is handed on, never changed in place
        assert all(memory[name] is before[name] for name in memory)
        memory = after
    scaled = np.array([(loss - loss.min()) / np.ptp(loss) for loss in losses])
    np.testing.assert_allclose(memory["losses"], scaled[2:], atol=1e-5)
    np.testing.assert_array_equal(memory["other"], np.arange(3))
    expected = rule(losses[-1], history=scaled[2:4])
    np.testing.assert_allclose(found.p_clean, expected.p_clean, atol=1e-3)
    np.testing.assert_array_equal(found.group, expected.group)


def test_history_is_what_there_is_until_the_memory_is_full() -> None:
    first, memory = recall({}, "x", np.array([1.0, 2.0]), 3)
    second, memory = recall(memory, "x", np.array([3.0, 2.0]), 3)
    assert first.shape == (0, 2)
    np.testing.assert_array_equal(second, [[1, 2]])
    for value in (5.0, 7.0, 9.0):
        last, memory = recall(memory, "x", np.full(2, value), 3)
    np.testing.assert_array_equal(last, [[5, 5], [7, 7]])
    np.testing.assert_array_equal(memory["x"], [[5, 5], [7, 7], [9, 9]])
    alone, memory = recall(memory, "x", np.zeros(2), 1)
    assert (alone.shape, memory["x"].shape) == ((0, 2), (1, 2))
    with pytest.raises(ValueError, match="at least 1 screening"):
        recall({}, "x", np.zeros(2), 0)


def test_trusting_all_takes_the_voters_mean_probability(evidence) -> None:
    probs = np.array([[[0.7, 0.3], [0.5, 0.5]], [[0.2, 0.8], [0.4, 0.6]]])
    found, memory = trust_all()(evidence(probs=probs, labels=[0, 0]), {"kept": np.ones(1)})
    np.testing.assert_allclose(found.p_clean, [0.6, 0.3], rtol=1e-6)
    assert (found.group == Group.CLEAN).all()
    assert found.noise.rate == pytest.approx(0.55)
    assert found.thresholds is None
    assert list(memory) == ["kept"]


def test_an_adviser_is_no_vote(evidence, probs_of) -> None:
    given = replace(evidence(), voters=("macro",))
    alone = probs_of(given)[np.arange(30), 0, given.labels]
    np.testing.assert_allclose(trust_all()(given, {})[0].p_clean, alone, rtol=1e-5)


def test_the_transition_stage_hands_on_what_it_reads(evidence) -> None:
    scores = np.random.default_rng(0).random((30, 3))
    given = evidence(match=lambda rows, classes: scores[rows, classes])
    bare = replace(given, logits={}, voters=())
    found, memory = transition(shrink=4.0)(bare, {})
    expected = by_transition(given.labels, given.zero_shot, given.features, given.keys, match=given.match, shrink=4.0)
    np.testing.assert_array_equal(found.posterior, expected.posterior)
    assert memory == {}


def test_evidence_that_is_missing_is_named(evidence) -> None:
    with pytest.raises(ValueError, match="reads zero_shot, but the evidence has none"):
        transition()(replace(evidence(), zero_shot=None), {})
    with pytest.raises(ValueError, match="needs the logits of a tuner that votes"):
        trust_all()(replace(evidence(), voters=()), {})
