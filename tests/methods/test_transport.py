"""NLPrompt's partition against POT's, and TecoPrompt's memory step by step."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot
from torch.testing import assert_close

from srrs.methods import screen, transport
from srrs.methods.spec import method
from srrs.methods.stages import LabeledBatch, one_round
from srrs.records import Batch, Group
from srrs.screening.optimal_transport import plan_belief, transport_plan

GIVEN = np.arange(12) % 3


def sure_of(classes: np.ndarray, chance: float = 0.98) -> np.ndarray:
    """(N, 1, 3) predictions that favor a class."""
    probs = np.full((len(classes), 1, 3), (1 - chance) / 2)
    probs[np.arange(len(classes)), 0, classes] = chance
    return probs


def swapped() -> np.ndarray:
    """The given labels but for the first three, which look like the next class: each class is as large as before."""
    classes = GIVEN.copy()
    classes[:3] = (classes[:3] + 1) % 3
    return classes


@pytest.mark.parametrize(("n", "classes", "learners"), [(60, 3, 1), (400, 10, 1), (120, 7, 2)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_nlprompts_partition_is_pots(evidence, probs_of, n: int, classes: int, learners: int, seed: int) -> None:
    ot = pytest.importorskip("ot", reason="POT is not installed (pip install pot)")
    given = evidence(n=n, classes=classes, learners=learners, seed=seed)
    cost = -np.log(probs_of(given).mean(1))
    equal = np.full(n, 1 / n), np.full(classes, 1 / classes)
    plan = ot.sinkhorn(*equal, cost, 0.01, method="sinkhorn_log", numItermax=1000, stopThr=1e-6, warn=False)
    found, _ = method("nlprompt").screen(given, {})
    np.testing.assert_array_equal(found.group == Group.CLEAN, plan.argmax(1) == given.labels)
    assert set(found.group.tolist()) == {Group.CLEAN, Group.NOISY}


def test_belief_is_the_prediction_after_every_class_is_priced(evidence, probs_of) -> None:
    given = evidence(n=200, learners=1, seed=4)
    found, _ = screen.transport(reg=1.0)(given, {})
    log_plan = transport_plan(probs_of(given)[:, 0], reg=1.0)
    np.testing.assert_allclose(found.p_clean, 200 * np.exp(log_plan)[np.arange(200), given.labels], atol=1e-6)
    balanced = evidence(probs=sure_of(GIVEN), labels=swapped())  # as many of each class: all prices are alike
    np.testing.assert_allclose(
        screen.transport()(balanced, {})[0].p_clean, np.where(swapped() == GIVEN, 0.98, 0.01), atol=1e-6
    )


def test_with_the_codes_cost_the_belief_is_the_prediction_itself() -> None:
    probs = sure_of(GIVEN)[:, 0]
    plan = transport_plan(probs, reg=0.01, cost="probability")
    found = plan_belief(plan, probs, swapped(), reg=0.01, cost="probability")
    np.testing.assert_allclose(found, np.where(swapped() == GIVEN, 0.98, 0.01))
    with pytest.raises(ValueError, match="the cost 'log' or 'probability', but got 'square'"):
        transport_plan(probs, cost="square")


def test_with_the_codes_cost_the_plan_is_pots_too() -> None:
    ot = pytest.importorskip("ot", reason="POT is not installed (pip install pot)")
    probs = np.random.default_rng(5).dirichlet(np.ones(4), 80)
    equal = np.full(80, 1 / 80), np.full(4, 1 / 4)
    theirs = ot.sinkhorn(*equal, -probs, 0.01, method="sinkhorn_log", numItermax=1000, stopThr=1e-6, warn=False)
    np.testing.assert_allclose(np.exp(transport_plan(probs, cost="probability")), theirs, atol=1e-7)


def test_a_label_is_rewritten_after_a_whole_window_and_for_good(evidence) -> None:
    chosen, memory, seen = method("tecoprompt"), {}, []
    looks = [sure_of(swapped())] * 4 + [sure_of(GIVEN)] * 2
    for probs in looks:
        before = {name: array.copy() for name, array in memory.items()}
        handed = memory
        found, memory = one_round(chosen, evidence(probs=probs, labels=GIVEN), memory)
        assert all(np.array_equal(handed[name], before[name], equal_nan=True) for name in before)
        seen.append(found)
    np.testing.assert_array_equal([r.targets.hard for r in seen], [GIVEN] * 3 + [swapped()] * 3)
    for found in seen:
        np.testing.assert_array_equal(found.partition.group[:3], Group.NOISY)
        np.testing.assert_array_equal(found.partition.group[3:], Group.CLEAN)
    matched = np.array([r.matched.is_match for r in seen])
    assert matched[:, 3:].all()
    np.testing.assert_array_equal(
        matched[:, 0], [False] * 3 + [True] + [False] * 2
    )  # only while the plan says the same


@pytest.mark.parametrize("looks", [[0, 0, 0, 1, 0, 0, 0], [0, 1] * 4])
def test_a_class_that_does_not_stay_is_not_believed(evidence, looks: list[int]) -> None:
    chosen, memory = method("tecoprompt"), {}
    for look in looks:
        probs = sure_of((swapped(), np.roll(swapped(), 3))[look])
        found, memory = one_round(chosen, evidence(probs=probs, labels=GIVEN), memory)
        np.testing.assert_array_equal(found.targets.hard[:3], GIVEN[:3])


def test_a_plan_that_is_not_certain_rewrites_nothing_and_leaves_labels_ambiguous(evidence) -> None:
    screened, rectify = transport.temporal_transport(reg=1.0, cost="log"), transport.rewritten()
    memory = {}
    for _ in range(6):
        given = evidence(probs=sure_of(swapped(), chance=0.6), labels=GIVEN)
        found, memory = screened(given, memory)
        targets, memory = rectify(given, found, memory)
    np.testing.assert_array_equal(targets.hard, GIVEN)
    np.testing.assert_array_equal(found.group, [Group.NOISY] * 3 + [Group.AMBIGUOUS] * 9)


def test_the_running_average_keeps_its_share_of_the_past(evidence) -> None:
    screened, memory, expected = transport.temporal_transport(reg=1.0, momentum=0.7, cost="log"), {}, None
    for chance in (0.9, 0.5, 0.8):
        _, memory = screened(evidence(probs=sure_of(GIVEN, chance), labels=GIVEN), memory)
        expected = chance if expected is None else 0.7 * expected + 0.3 * chance
        np.testing.assert_allclose(memory[transport.AVERAGE], expected, atol=1e-5)


@pytest.mark.parametrize("name", ["srrs(rectify=rewritten)", "srrs(rectify=keep, rescreen=steady_plan)"])
def test_stages_that_need_the_memory_of_transport_say_so(name: str, evidence) -> None:
    with pytest.raises(ValueError, match="need temporal_transport"):
        one_round(method(name), evidence(), {})


def batch(group: list[int], soft: torch.Tensor, matched: list[bool] | None = None) -> LabeledBatch:
    n = len(group)
    is_match = torch.tensor(matched or [False] * n)
    return LabeledBatch(Batch(torch.zeros(n, 2)), soft, torch.ones(n), torch.tensor(group, dtype=torch.int8), is_match)


@pytest.mark.parametrize("learners", [1, 2])
def test_clean_is_learned_by_cross_entropy_and_noisy_by_absolute_error(learners: int) -> None:
    draw = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(learners, 8, 4, generator=draw), torch.arange(8) % 4
    soft = one_hot(labels, 4).float()
    cross = sum(cross_entropy(learner, labels, reduction="none") for learner in logits)
    absolute = (logits.softmax(2) - soft).abs().sum(2).sum(0) / 2
    loss = method("nlprompt").loss
    assert_close(loss(logits, batch([Group.CLEAN] * 8, soft)), cross.mean())
    assert_close(loss(logits, batch([Group.NOISY] * 8, soft)), absolute.mean())
    both = batch([Group.CLEAN, Group.NOISY] * 4, soft)
    assert_close(loss(logits, both), (cross[::2].sum() + absolute[1::2].sum()) / 8)


def test_the_ambiguous_lie_between() -> None:
    logits = torch.tensor([[[0.36, 0.64]]]).log()
    taught = batch([Group.AMBIGUOUS], torch.tensor([[1.0, 0.0]]))
    assert_close(method("tecoprompt").loss(logits, taught), torch.tensor((1 - 0.6) / 0.5))


def test_what_is_well_matched_is_learned_as_clean() -> None:
    given = batch([Group.NOISY, Group.NOISY, Group.AMBIGUOUS, Group.CLEAN], torch.eye(4), [True, False, False, True])
    prepared = transport.matched_as_clean()(given, np.random.default_rng(0))
    assert prepared.group.tolist() == [Group.CLEAN, Group.NOISY, Group.AMBIGUOUS, Group.CLEAN]
    assert prepared.soft is given.soft
