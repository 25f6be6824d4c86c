"""Warnings about the result of a run: signs that it is not reliable. N samples, C classes."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from srrs.records import Finding, Group, Ints, Round

UNTUNED = "zero_shot"
"""Name of the predictions of the untuned model."""
ENOUGH = 20
"""Number of samples below which no warning is given."""
SURE = 2.0
"""Number of standard deviations above which a difference is not due to chance."""
ALIKE = 0.05
"""Two tuners make the same mistakes if their predictions differ on a smaller share of the doubtful samples."""
CLASS = 5
"""Least number of given labels of a class for a warning that no image of the class is left."""
ABOVE, BELOW = 0.05, 0.1
"""Largest distances of the share of labels called wrong from the range of the estimated rate: above and below.
Screening is cautious, so the share may be further below the range than above it."""


def watch(round: Round, predicted: Mapping[str, Ints]) -> tuple[Finding, ...]:
    """Return warnings about the last round of a run.

    `predicted` are the predicted classes (N,) of each classifier, by its name. The name of the untuned model is
    `zero_shot`.
    """
    return (
        *_worse_than_untuned(round, predicted),
        *_collapsed(round, predicted),
        *_vanished(round),
        *_contradicted(round),
    )


def _worse_than_untuned(round: Round, predicted: Mapping[str, Ints]) -> list[Finding]:
    """Return warnings about tuners that predict fewer of the clean labels than the untuned model."""
    clean, labels, untuned = round.partition.group == Group.CLEAN, round.evidence.labels, predicted.get(UNTUNED)
    found = []
    for name, classes in predicted.items():
        if name == UNTUNED or untuned is None:
            continue
        right, before = (classes == labels)[clean], (untuned == labels)[clean]
        lost, won = int((before & ~right).sum()), int((right & ~before).sum())
        if lost - won > SURE * (lost + won) ** 0.5 and lost - won >= ENOUGH / 4:
            found.append(
                _warning(
                    f"Tuning made {name!r} worse: it predicts {right.mean():.1%} of the labels that count as clean, "
                    f"the untuned model {before.mean():.1%}. Use fewer steps or a lower learning rate, or predict "
                    "with the method zero-shot."
                )
            )
    return found


def _collapsed(round: Round, predicted: Mapping[str, Ints]) -> list[Finding]:
    """Return warnings about pairs of tuners that make the same mistakes, so that the second one adds nothing."""
    target = round.targets.hard
    found = []
    for one, other in combinations([name for name in predicted if name != UNTUNED], 2):
        a, b = predicted[one], predicted[other]
        doubtful = int(((a != target) | (b != target)).sum())
        differ = int((a != b).sum())
        if doubtful >= ENOUGH and differ < ALIKE * doubtful:
            found.append(
                _warning(
                    f"The tuners {one!r} and {other!r} have become one: they predict the same class for all but "
                    f"{differ:,} of {len(a):,} images, so the second one confirms nothing. Use fewer steps or a lower "
                    "learning rate."
                )
            )
    return found


def _vanished(round: Round) -> list[Finding]:
    """Return a warning about classes with several given labels in which no sample is left."""
    classes = round.evidence.classes
    given = np.bincount(round.evidence.labels, minlength=classes)
    left = np.bincount(round.targets.hard[round.targets.weight > 0], minlength=classes)
    gone = np.flatnonzero((given >= CLASS) & (left == 0))
    if not len(gone):
        return []
    text = "All images of these classes count as wrong or get another label, so nothing is learned of the classes:"
    return [Finding("warning", text, tuple(gone.tolist()))]


def _contradicted(round: Round) -> list[Finding]:
    """Return a warning if the share of labels called wrong is outside the range of the estimate."""
    group, noise = round.partition.group, round.noise
    if len(group) < ENOUGH:
        return []
    wrong = float(np.isin(group, (Group.NOISY, Group.OUTSIDE)).mean())
    unsure = float((group == Group.AMBIGUOUS).mean())
    if noise.low - BELOW <= wrong + unsure and wrong <= noise.high + ABOVE:
        return []
    return [
        _warning(
            f"The screening and the estimate contradict each other: {wrong:.1%} of the labels are called wrong and "
            f"{unsure:.1%} ambiguous, but an estimated {noise.rate:.1%} ({noise.low:.1%} to {noise.high:.1%}) are "
            "wrong. Review some of the images before you apply any change."
        )
    ]


def _warning(text: str) -> Finding:
    """Return a finding with the level of a warning."""
    return Finding("warning", text)
