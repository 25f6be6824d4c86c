"""Which hypothesis decides, worked by hand from a few numbers."""

from dataclasses import replace

import numpy as np
import pytest

from srrs.screening.decision.choice import is_material
from srrs.screening.decision.hypotheses import Sample
from srrs.screening.decision.selection import LABELS, MILD, SHARP, TEMPERED, Facts, Thresholds, selected

AT = Thresholds()
NOTHING = Facts(
    agreement=0.8,
    chance=0.15,
    gain={SHARP: -0.5, TEMPERED: -0.5, MILD: -0.01},
    rate={LABELS: 0.2, SHARP: 0.2, TEMPERED: 0.2, MILD: 0.2},
    wrong={LABELS: 0.2, SHARP: 0.2, TEMPERED: 0.2, MILD: 0.2},
)


def facts(agreement: float = 0.8, labels: float = 0.2, **names: tuple[float, float]) -> Facts:
    """The facts if each named hypothesis has a gain and finds a share of wrong labels."""
    gain = {name: value[0] for name, value in names.items()}
    found = {LABELS: labels, **{name: value[1] for name, value in names.items()}}
    return replace(
        NOTHING,
        agreement=agreement,
        gain={**NOTHING.gain, **gain},
        rate={**NOTHING.rate, **found},
        wrong={**NOTHING.wrong, **found},
    )


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (NOTHING, LABELS),
        (facts(mild=(0.0, 0.2)), MILD),
        (facts(agreement=0.1, mild=(0.0, 0.2)), LABELS),
        (facts(sharp=(0.1, 0.2)), SHARP),
        (facts(sharp=(0.09, 0.2)), LABELS),
        (facts(agreement=0.54, sharp=(0.3, 0.3)), LABELS),
        (facts(sharp=(0.1, 0.3), tempered=(0.2, 0.3)), TEMPERED),
        (facts(agreement=0.3, labels=0.0, tempered=(0.0, 0.1)), TEMPERED),
        (facts(agreement=0.3, labels=0.2, tempered=(0.05, 0.3)), LABELS),
        (facts(labels=0.5, tempered=(0.5, 0.6)), LABELS),
    ],
    ids=[
        "nothing gains", "mild loses nothing", "a model at chance", "sharp gains", "sharp gains too little",
        "sources that disagree", "tempered gains more", "unseen and tempered", "seen and tempered", "random noise",
    ],
)  # fmt: skip
def test_the_hypothesis_that_decides(known: Facts, expected: str) -> None:
    assert selected(known, AT) == expected


def test_unseen_mistakes_may_cost_more_the_more_the_sources_agree() -> None:
    # 20 % unseen mistakes: at an agreement of 0.8 they may cost 4 (0.8 - 0.4) 0.2 = 0.32 per label, at 0.6 only 0.16
    assert selected(facts(0.8, 0.0, sharp=(-0.31, 0.2)), AT) == SHARP
    assert selected(facts(0.8, 0.0, sharp=(-0.33, 0.2)), AT) == LABELS
    assert selected(facts(0.6, 0.0, sharp=(-0.17, 0.2)), AT) == LABELS
    assert selected(facts(0.6, 0.0, sharp=(-0.15, 0.2)), AT) == SHARP


def test_mistakes_that_labels_sees_or_that_are_few_are_not_unseen() -> None:
    assert facts(labels=0.05, sharp=(0, 0.2)).unseen(SHARP, AT) == pytest.approx(0.15)
    assert facts(labels=0.06, sharp=(0, 0.2)).unseen(SHARP, AT) == 0
    assert facts(labels=0.0, sharp=(0, 0.04)).unseen(SHARP, AT) == 0


@pytest.mark.parametrize(("images", "agreement", "expected"), [(4, 0.69, False), (4, 0.7, True), (8, 0.56, True)])
def test_few_images_a_class_prove_structured_mistakes_only_where_the_sources_agree_well(
    images: int, agreement: float, expected: bool
) -> None:
    labels = np.repeat(np.arange(5), images)
    sample = Sample(labels, labels, 5, np.broadcast_to(np.arange(5), (len(labels), 5)), {}, {}, None)
    known = facts(agreement, labels=0.0, sharp=(-0.1, 0.2))
    assert is_material(sample, SHARP, known) is expected
