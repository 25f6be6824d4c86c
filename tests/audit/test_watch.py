"""Warnings of a run about itself, each on the smallest data that call for it."""

import numpy as np
import pytest

from srrs.audit.table import Audit, Rows
from srrs.audit.watch import watch
from srrs.records import Evidence, Group, Matched, NoiseEstimate, Partition, Round, Targets

LABELS = np.arange(120) % 3


def round_of(
    hard: np.ndarray = LABELS, wrong: float = 0.1, estimate: tuple[float, float, float] = (0.1, 0.05, 0.15)
) -> Round:
    n = len(LABELS)
    group = np.where(np.arange(n) < wrong * n, Group.NOISY, Group.CLEAN).astype(np.int8)
    return Round(
        Evidence(np.arange(n, dtype=np.uint64), LABELS, 3),
        Partition(group, np.full(n, 0.5), NoiseEstimate(*estimate)),
        Targets(np.eye(3)[hard], np.ones(n)),
        Matched(np.ones(n, bool), np.full(n, np.nan)),
        np.full(n, 0.5),
    )


def differing(count: int, classes: np.ndarray = LABELS) -> np.ndarray:
    """The classes, other ones for the last samples."""
    found = classes.copy()
    found[len(found) - count :] = (found[len(found) - count :] + 1) % 3
    return found


def said(round: Round, **predicted: np.ndarray) -> list[str]:
    found = watch(round, predicted)
    assert {finding.level for finding in found} <= {"warning"}
    return [finding.text for finding in found]


def test_an_ordinary_run_has_no_warning() -> None:
    assert said(round_of()) == []
    assert said(round_of(), zero_shot=differing(30), macro=differing(10), micro=differing(9)) == []
    # on easy images tuners agree, because both are right
    assert said(round_of(), zero_shot=differing(30), macro=differing(2), micro=differing(2)) == []


def test_tuning_that_predicts_fewer_clean_labels_than_the_untuned_model_is_told() -> None:
    (text,) = said(round_of(), zero_shot=differing(4), coop=differing(40))
    assert text.startswith(
        "Tuning made 'coop' worse: it predicts 63.0% of the labels that count as clean, the untuned model 96.3%."
    )
    assert said(round_of(), zero_shot=differing(4), coop=differing(7)) == []  # chance


def test_tuners_that_make_the_same_mistakes_are_told() -> None:
    (text,) = said(round_of(), macro=differing(60), micro=differing(59))
    assert text.startswith(
        "The tuners 'macro' and 'micro' have become one: they predict the same class for all but 1 of"
    )


def test_a_class_that_no_image_is_left_in_is_named() -> None:
    hard = np.where(LABELS == 1, 2, LABELS)
    (finding,) = watch(round_of(hard), {})
    assert finding.classes == (1,)
    rows = Rows(tuple(map(str, range(120))), ("",) * 120, LABELS, ("cat", "dog", "horse"), ("",) * 120)
    (shown,) = Audit.of(rows, np.arange(120), round_of(hard), {}).findings
    assert shown.text.endswith("get another label, so nothing is learned of the classes: dog.")


@pytest.mark.parametrize(("wrong", "told"), [(0.4, True), (0.19, False), (0.0, False)])
def test_an_estimate_that_contradicts_the_screening_is_told(wrong: float, told: bool) -> None:
    texts = said(round_of(wrong=wrong))
    assert bool(texts) == told
    if told:
        assert texts[0].startswith(
            "The screening and the estimate contradict each other: 40.0% of the labels are called wrong and 0.0% "
            "ambiguous, but an estimated 10.0% (5.0% to 15.0%) are wrong."
        )


def test_a_screening_that_finds_far_less_than_the_estimate_is_told() -> None:
    assert len(said(round_of(wrong=0.0, estimate=(0.3, 0.25, 0.35)))) == 1
