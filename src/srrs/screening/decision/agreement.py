"""Agreement of the sources of evidence with each other and with the given labels.

The *label-free sources* (`Sample.unseen`) did not learn from the labels: zero-shot prediction and matcher. The *image
prediction* is the prediction of the discriminant that was fitted to the features of the other folds. N images, C
classes, K candidate classes per image.
"""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from srrs.screening.decision.hypotheses import IMAGES, Hypothesis, Sample
from srrs.screening.decision.outside import fit_fitting, fit_mixture
from srrs.screening.decision.scales import pooled

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

KNOWS = 0.1
"""A source has information about the classes if its agreement with another source is at least c + KNOWS (1 - c), where
c is the agreement by chance."""
WHOLESALE = 0.85
"""If a hypothesis finds a larger share of wrong labels, in one class or in all classes, the labels are kept, unless the
share under the "labels" hypothesis is at most 0.25 lower."""


def agreement_of(sample: Sample, hypothesis: Hypothesis) -> float | None:
    """Return the share of images for which the label-free sources and the image prediction agree.

    The label-free sources are pooled with the scales of the hypothesis. The result is None if there are no label-free
    sources or no features.
    """
    if not sample.unseen or IMAGES not in hypothesis.scores:
        return None
    images = sample.predicted(hypothesis.scores[IMAGES])
    return float((_by_unseen(sample, hypothesis) == images).mean())


def reliability_of(sample: Sample, hypothesis: Hypothesis) -> float:
    """Return how reliable the label-free sources are, from 0 to 1.

    The result is their agreement with the image prediction. Without features, it is the mean posterior probability,
    under the hypothesis, of the classes that the label-free sources predict.
    """
    agreement = agreement_of(sample, hypothesis)
    if agreement is not None:
        return agreement
    predicted = _by_unseen(sample, hypothesis)
    return float(np.take_along_axis(hypothesis.fit.posterior, predicted[:, None], 1).mean())


def is_useless(sample: Sample, hypothesis: Hypothesis) -> bool:
    """Return whether the label-free sources have no information about the classes.

    This is the case if they agree with the image prediction hardly more often than by chance (see `above_chance`), and
    with the labels at most as often as the image prediction does. With very few images per class, the image prediction
    itself is hardly better than chance. Then the first condition alone would not show that the label-free sources are
    useless.
    """
    agreement = agreement_of(sample, hypothesis)
    if agreement is None or agreement >= above_chance(sample):
        return False
    unseen, images = _with_labels(sample, hypothesis)
    return images >= unseen


def ahead_of_labels(sample: Sample, hypothesis: Hypothesis) -> float:
    """Return how much more often two predictions agree with each other than with the labels.

    The result is the share of images for which the label-free sources and the image prediction agree, minus the share
    of images for which one of these two predicts the given label (the larger of the two shares). It is 0 if there are
    no label-free sources or no features.
    """
    agreement = agreement_of(sample, hypothesis)
    if agreement is None:
        return 0.0
    return agreement - max(_with_labels(sample, hypothesis))


def _with_labels(sample: Sample, hypothesis: Hypothesis) -> tuple[float, float]:
    """Return two shares of images whose given label is predicted: by label-free sources, by the image prediction."""
    predictions = _by_unseen(sample, hypothesis), sample.predicted(hypothesis.scores[IMAGES])
    unseen, images = (np.take_along_axis(sample.given, each[:, None], 1).mean() for each in predictions)
    return float(unseen), float(images)


def _by_unseen(sample: Sample, hypothesis: Hypothesis) -> Ints:
    """Return the column (N,) of the candidate class that the label-free sources predict, pooled with their scales."""
    scales = np.array([max(hypothesis.scales[name], 1e-6) for name in sample.unseen])
    return sample.predicted(pooled([hypothesis.scores[name] for name in sample.unseen], scales))


def is_confirmed(sample: Sample, labels: Hypothesis, other: Hypothesis) -> bool:
    """Return whether the label-free sources agree with `other` at least as much as with the given labels.

    The sources are pooled with the scales of the hypothesis `labels`. Their agreement with `other` is the mean
    posterior probability, under `other`, of the classes that the sources predict.
    """
    predicted = _by_unseen(sample, labels)[:, None]
    with_other = np.take_along_axis(other.fit.posterior, predicted, 1).mean()
    return bool(with_other >= np.take_along_axis(sample.given, predicted, 1).mean())


def above_chance(sample: Sample) -> float:
    """Return the least agreement between two sources that have information about the classes (see `KNOWS`).

    Two independent predictions whose class shares are those of the labels agree for a share of images that is the sum
    of the squared class shares.
    """
    chance = float(((np.bincount(sample.labels, minlength=sample.classes) / len(sample.labels)) ** 2).sum())
    return chance + KNOWS * (1 - chance)


def is_uninformed(sample: Sample, hypothesis: Hypothesis) -> bool:
    """Return whether no source of a hypothesis has information about the classes.

    This is the case if no two of the given labels and the predictions of the sources agree more often than by chance
    (see `above_chance`). Then the data do not show whether the sources are useless or all labels are random.
    """
    views = [np.asarray(sample.given.argmax(1)), *(sample.predicted(scores) for scores in hypothesis.scores.values())]
    return all((one == other).mean() < above_chance(sample) for one, other in combinations(views, 2))


def contradicted(sample: Sample, hypothesis: Hypothesis, labels: Hypothesis) -> Ints:
    """Return the classes (n,) in which nearly all labels are wrong under `hypothesis`, but not under `labels`.

    The share of wrong labels under `hypothesis` is above `WHOLESALE`, and more than 0.25 above the share under
    `labels`.
    """
    found = []
    for one in (hypothesis, labels):
        wrong = 1 - (one.fit.posterior * sample.given).sum(1)
        counts = np.bincount(sample.labels, minlength=sample.classes)
        found.append(np.bincount(sample.labels, wrong, sample.classes) / np.maximum(counts, 1))
    return np.flatnonzero((found[0] > WHOLESALE) & (found[1] < found[0] - 0.25))


def known_by_images(sample: Sample, hypothesis: Hypothesis) -> float:
    """Return how reliable the image prediction is, from 0 to 1; 0 without features.

    The result is the mean posterior probability, under the hypothesis, of the classes that the image prediction
    predicts.
    """
    if IMAGES not in hypothesis.scores:
        return 0.0
    predicted = sample.predicted(hypothesis.scores[IMAGES])[:, None]
    return float(np.take_along_axis(hypothesis.fit.posterior, predicted, 1).mean())


def inside_of(sample: Sample, hypothesis: Hypothesis) -> Floats:
    """Return the probability (N,), under the hypothesis, that each image shows one of the classes (see `outside`)."""
    fit = fit_fitting(hypothesis.scores, sample.index, sample.classes)(hypothesis.scores, sample.index)
    return np.asarray(1 - fit_mixture(fit, hypothesis.fit.posterior, predictions_alone=False)(fit.max(1)))


def wrong_share(sample: Sample, hypothesis: Hypothesis, inside: Floats) -> float:
    """Return the share of images that have a wrong label under the hypothesis, and show one of the classes.

    `inside` (N,) is the probability that each image shows one of the classes. Images of no class are left out: every
    label of such an image is wrong. Structured noise explains such labels well, but this does not prove that labels of
    other images are wrong.
    """
    wrong = 1 - (hypothesis.fit.posterior * sample.given).sum(1)
    return float((wrong * inside).mean())
