"""How well sources agree with each other and with the labels.

The *unseen* sources are those that never saw a label: zero-shot prediction and the matcher. The *image prediction* is
that of the discriminant that is fitted on the images of other folds. N images.
"""

import numpy as np
from numpy.typing import NDArray

from srrs.screening.decision.hypotheses import IMAGES, Hypothesis, Sample
from srrs.screening.decision.outside import fit_fitting, fit_mixture
from srrs.screening.decision.scales import pooled

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

KNOWS = 0.1
"""A source knows something of the classes if it agrees with another this far above chance, on the way to 1."""
WHOLESALE = 0.85
"""Above this share of wrong labels, in all or in one class, the labels are kept unless the "labels" hypothesis finds
them wrong, too."""


def agreement_of(sample: Sample, hypothesis: Hypothesis) -> float | None:
    """Share of images for which unseen sources and image prediction agree; None if either of the two is missing."""
    if not sample.unseen or IMAGES not in hypothesis.scores:
        return None
    images = sample.predicted(hypothesis.scores[IMAGES])
    return float((_by_unseen(sample, hypothesis) == images).mean())


def reliability_of(sample: Sample, hypothesis: Hypothesis) -> float:
    """How well the unseen sources know the classes: their agreement with the image prediction, or the posterior."""
    agreement = agreement_of(sample, hypothesis)
    if agreement is not None:
        return agreement
    predicted = _by_unseen(sample, hypothesis)
    return float(np.take_along_axis(hypothesis.fit.posterior, predicted[:, None], 1).mean())


def is_useless(sample: Sample, hypothesis: Hypothesis) -> bool:
    """Whether the unseen sources agree with the image prediction no better than by chance, and less with the labels.

    With very few images per class, the image prediction agrees with nothing, and says nothing about the model.
    """
    agreement = agreement_of(sample, hypothesis)
    if agreement is None or agreement >= above_chance(sample):
        return False
    unseen, images = _with_labels(sample, hypothesis)
    return images >= unseen


def ahead_of_labels(sample: Sample, hypothesis: Hypothesis) -> float:
    """Share of images for which unseen sources and image prediction agree, less that for which either has the label."""
    agreement = agreement_of(sample, hypothesis)
    if agreement is None:
        return 0.0
    return agreement - max(_with_labels(sample, hypothesis))


def _with_labels(sample: Sample, hypothesis: Hypothesis) -> tuple[float, float]:
    """Return how often the unseen sources predict the label, and how often the image prediction does."""
    predictions = _by_unseen(sample, hypothesis), sample.predicted(hypothesis.scores[IMAGES])
    unseen, images = (np.take_along_axis(sample.given, each[:, None], 1).mean() for each in predictions)
    return float(unseen), float(images)


def _by_unseen(sample: Sample, hypothesis: Hypothesis) -> Ints:
    """Return the place (N,) of the candidate that the unseen sources predict together."""
    scales = np.array([max(hypothesis.scales[name], 1e-6) for name in sample.unseen])
    return sample.predicted(pooled([hypothesis.scores[name] for name in sample.unseen], scales))


def is_confirmed(sample: Sample, labels: Hypothesis, other: Hypothesis) -> bool:
    """Whether the unseen sources, as `labels` weighs them, agree more with another hypothesis than with the labels."""
    predicted = _by_unseen(sample, labels)[:, None]
    with_other = np.take_along_axis(other.fit.posterior, predicted, 1).mean()
    return bool(with_other >= np.take_along_axis(sample.given, predicted, 1).mean())


def above_chance(sample: Sample) -> float:
    """Return the least agreement of a source that knows something of the classes.

    By chance, two predictions with the shares of the labels agree on the sum of the squared shares.
    """
    chance = float(((np.bincount(sample.labels, minlength=sample.classes) / len(sample.labels)) ** 2).sum())
    return chance + KNOWS * (1 - chance)


def contradicted(sample: Sample, hypothesis: Hypothesis, labels: Hypothesis) -> Ints:
    """Classes nearly all of whose labels `hypothesis` finds wrong, but not the `labels` hypothesis."""
    found = []
    for one in (hypothesis, labels):
        wrong = 1 - (one.fit.posterior * sample.given).sum(1)
        counts = np.bincount(sample.labels, minlength=sample.classes)
        found.append(np.bincount(sample.labels, wrong, sample.classes) / np.maximum(counts, 1))
    return np.flatnonzero((found[0] > WHOLESALE) & (found[1] < found[0] - 0.25))


def known_by_images(sample: Sample, hypothesis: Hypothesis) -> float:
    """Share of images whose class the images alone tell, according to a hypothesis."""
    if IMAGES not in hypothesis.scores:
        return 0.0
    predicted = sample.predicted(hypothesis.scores[IMAGES])[:, None]
    return float(np.take_along_axis(hypothesis.fit.posterior, predicted, 1).mean())


def inside_of(sample: Sample, hypothesis: Hypothesis) -> Floats:
    """Return the probability (N,) that an image shows one of the classes, according to a hypothesis."""
    fit = fit_fitting(hypothesis.scores, sample.index, sample.classes)(hypothesis.scores, sample.index)
    return np.asarray(1 - fit_mixture(fit, hypothesis.fit.posterior, predictions_alone=False)(fit.max(1)))


def wrong_share(sample: Sample, hypothesis: Hypothesis, inside: Floats) -> float:
    """Return the share of images that have a wrong label and show one of the classes, by `inside` (N,).

    Images of no class have no right label. Structured noise explains their labels well, which proves nothing.
    """
    wrong = 1 - (hypothesis.fit.posterior * sample.given).sum(1)
    return float((wrong * inside).mean())
