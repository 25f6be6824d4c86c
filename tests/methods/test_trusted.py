from dataclasses import replace

import numpy as np
import pytest

from srrs.methods.spec import method
from srrs.methods.stages import one_round
from srrs.methods.trusted import Settled, trusting
from srrs.records import Evidence, Group, Partition


@pytest.fixture
def evidence() -> Evidence:
    rng = np.random.default_rng(0)
    soft = rng.dirichlet(np.ones(3), 60)
    return Evidence(
        ids=tuple(map(str, range(60))), labels=rng.integers(0, 3, 60), probs=soft[:, None], zero_shot=soft,
        features=rng.normal(size=(60, 4)), loss=rng.random(60), agreement=np.ones(60),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["srrs", "srrs-paper", "confident", "coop", "joapr", "upl"])
def test_a_decided_label_is_certain_under_every_method(name, evidence) -> None:
    decided = {"7": Settled(2, 0), "50": Settled(1, 1)}
    labels = evidence.labels.copy()
    labels[[7, 50]] = 2, 1
    told = replace(evidence, labels=labels)
    last, _ = one_round(trusting(method(name), decided), told, {})
    assert (last.partition.group[[7, 50]] == Group.CLEAN).all()
    assert (last.quality[[7, 50]] == 1).all()
    assert last.targets.hard[[7, 50]].tolist() == [2, 1]
    assert (last.targets.soft[[7, 50]].max(1) == 1).all()
    assert (last.targets.weight[[7, 50]] == 1).all()
    assert last.matched.is_match[[7, 50]].all()
    np.testing.assert_array_equal(last.evidence.zero_shot, evidence.zero_shot)  # the audit tells what the model said


def test_without_decisions_a_method_stays_what_it_is() -> None:
    plain = method("srrs")
    assert trusting(plain, {}) is plain


@pytest.mark.parametrize(("name", "shown"), [("srrs", [0]), ("confident", [0, 2])])
def test_only_a_model_of_the_noise_is_shown_what_was_given(name, shown, evidence) -> None:
    asked = []
    plain = method(name)

    def screen(told, memory):
        asked.append(int(told.labels[7]))
        return plain.screen(told, memory)

    labels = evidence.labels.copy()
    labels[7] = 2
    one_round(trusting(replace(plain, screen=screen), {"7": Settled(2, 0)}), replace(evidence, labels=labels), {})
    assert asked == shown


def test_what_screening_remembers_is_remembered_once(evidence) -> None:
    wrapped = trusting(method("srrs-paper"), {"7": Settled(int(evidence.labels[7]), int(evidence.labels[7]))})
    partition, memory = wrapped.screen(evidence, {})
    assert isinstance(partition, Partition)
    assert memory["losses"].shape == (1, 60)
