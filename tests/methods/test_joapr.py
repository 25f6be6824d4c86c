"""JoAPR's stages: what they remember, refurbishing by hand, and balanced steps."""

import numpy as np
import torch
from scipy.stats import entropy
from torch.testing import assert_close

from srrs.methods.joapr import balanced, refurbish
from srrs.methods.screen import joint_thresholds
from srrs.methods.stages import LabeledBatch
from srrs.records import Batch, Group
from srrs.screening import joapr


def test_the_stage_scores_by_cross_entropy_plus_entropy_and_remembers_score_and_rate(evidence, probs_of) -> None:
    memory, rate, scores = {}, 0.5, []
    for seed in range(4):
        look = evidence(n=90, learners=1, labels=np.arange(90) % 3, seed=seed)
        before = dict(memory)
        found, after = joint_thresholds(remember=3)(look, memory)
        assert memory == before  # handed on, never changed in place
        memory = after
        probs = probs_of(look)[:, 0]
        loss = -np.log(probs[np.arange(90), look.labels]) + entropy(probs, axis=1)
        expected, rate = joapr.joint_thresholds(loss, history=scores[-2:], rate=rate)
        scores.append((loss - loss.min()) / np.ptp(loss))
        np.testing.assert_allclose(found.p_clean, expected.p_clean, atol=1e-4)
        np.testing.assert_array_equal(found.group, expected.group)
    assert memory["losses"].shape == (3, 90)
    assert all(isinstance(array, np.ndarray) for array in memory.values())


def test_clean_labels_are_blended_by_posterior_times_prediction_and_noisy_ones_replaced(evidence, partition) -> None:
    probs = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])[:, None]
    parts = partition([Group.CLEAN, Group.NOISY], [0.8, 0.8])
    found, memory = refurbish()(evidence(probs=probs, labels=[1, 1]), parts, {"kept": np.ones(1)})
    w = 0.8 * 0.3
    blend = np.array([(1 - w) * 0.5, w + (1 - w) * 0.3, (1 - w) * 0.2]) ** 2
    sharp = np.array([0.25, 0.09, 0.04])
    np.testing.assert_allclose(found.soft, [blend / blend.sum(), sharp / sharp.sum()])
    assert list(memory) == ["kept"]


def batch(groups: list[Group], weight: list[float]) -> LabeledBatch:
    n = len(groups)
    group = torch.tensor(groups, dtype=torch.int8)
    return LabeledBatch(Batch(torch.zeros(n, 2)), torch.eye(n), torch.tensor(weight), group, torch.ones(n) > 0)


def test_clean_samples_and_all_others_weigh_the_same_in_a_step() -> None:
    given = batch([Group.CLEAN, Group.NOISY, Group.CLEAN, Group.AMBIGUOUS, Group.CLEAN], [1, 1, 3, 0.5, 1])
    found = balanced()(given, np.random.default_rng(0)).weight
    assert_close(found[[0, 2, 4]].sum(), found[[1, 3]].sum())
    assert_close(found.sum(), given.weight.sum())
    assert_close(found[2] / found[0], torch.tensor(3.0))


def test_a_step_of_one_kind_stays_as_it_is() -> None:
    given = batch([Group.CLEAN, Group.CLEAN], [1, 1])
    assert balanced()(given, np.random.default_rng(0)) is given
