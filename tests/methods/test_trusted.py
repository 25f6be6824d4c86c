from dataclasses import replace

import numpy as np
import pytest

from srrs.methods.spec import method
from srrs.methods.stages import one_round
from srrs.methods.trusted import VerifiedLabel, trusting
from srrs.records import Evidence, Group, Partition


@pytest.fixture
def drawn() -> Evidence:
    rng = np.random.default_rng(0)
    soft = rng.dirichlet(np.ones(3), 60)
    return Evidence(
        keys=np.arange(60, dtype=np.uint64), labels=rng.integers(0, 3, 60), classes=3,
        logits={name: np.log(soft) for name in ("macro", "micro")}, voters=("macro", "micro"), zero_shot=soft,
        features=rng.normal(size=(60, 4)),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["srrs", "srrs-paper", "confident", "coop", "joapr", "upl"])
def test_a_decided_label_is_certain_under_every_method(name, drawn) -> None:
    decided = {7: VerifiedLabel(2, 0), 50: VerifiedLabel(1, 1)}
    labels = drawn.labels.copy()
    labels[[7, 50]] = 2, 1
    told = replace(drawn, labels=labels)
    last, _ = one_round(trusting(method(name), decided), told, {})
    assert (last.partition.group[[7, 50]] == Group.CLEAN).all()
    assert (last.quality[[7, 50]] == 1).all()
    assert last.targets.hard[[7, 50]].tolist() == [2, 1]
    assert (last.targets.soft[[7, 50]].max(1) == 1).all()
    assert (last.targets.weight[[7, 50]] == 1).all()
    assert last.matched.is_match[[7, 50]].all()
    alone, _ = one_round(method(name), told, {})
    if alone.targets.labels is not None:  # labels that screening rectifies itself stay its own elsewhere
        others = np.setdiff1d(np.arange(60), [7, 50])
        assert (last.targets.hard[others] == last.partition.rectified[others]).all()
    np.testing.assert_array_equal(last.evidence.zero_shot, drawn.zero_shot)  # the audit tells what the model said


def test_without_decisions_a_method_stays_what_it_is() -> None:
    plain = method("srrs")
    assert trusting(plain, {}) is plain


@pytest.mark.parametrize(("name", "shown"), [("srrs", [0]), ("confident", [0, 2])])
def test_only_a_model_of_the_noise_is_shown_what_was_given(name, shown, drawn) -> None:
    asked = []
    plain = method(name)

    def screen(told, memory):
        asked.append(int(told.labels[7]))
        return plain.screen(told, memory)

    labels = drawn.labels.copy()
    labels[7] = 2
    one_round(trusting(replace(plain, screen=screen), {7: VerifiedLabel(2, 0)}), replace(drawn, labels=labels), {})
    assert asked == shown


def test_what_screening_remembers_is_remembered_once(drawn) -> None:
    wrapped = trusting(method("srrs-paper"), {7: VerifiedLabel(int(drawn.labels[7]), int(drawn.labels[7]))})
    partition, memory = wrapped.screen(drawn, {})
    assert isinstance(partition, Partition)
    assert memory["losses"].shape == (1, 60)
