"""Structured noise that the features alone show: if classes are well separated, images form clusters by true class."""

import numpy as np
from numpy.typing import NDArray

from srrs.screening.decision.agreement import inside_of, known_by_images, wrong_share
from srrs.screening.decision.hypotheses import CLUSTERS, IMAGES, Hypothesis, Sample, fitted, sharpened
from srrs.screening.decision.proof import likelihood

Floats = NDArray[np.floating]

POWERS = (1.0, 3.0)
"""Factors of the fitted scales. A hypothesis is fitted from each of them."""
KNOWN, KNOWN_WELL, GAIN, GAIN_ALONE = 0.87, 0.95, 0.03, 0.05
"""Conditions for a hypothesis that is fitted from `POWERS`. Its gain (see `clusters_of`) must be at least GAIN with a
`known_by_images` of at least KNOWN, or positive with a `known_by_images` of at least KNOWN_WELL. If the hypothesis
finds less than MATERIAL more wrong labels than the "labels" hypothesis, the gain must be at least GAIN_ALONE."""
APART, LOSS = 0.95, -0.05
"""Conditions for the hypothesis CLUSTERS: the least mean probability of the predicted class, and the least gain."""
ENOUGH_IMAGES = 8
"""Least median number of images per class. With fewer images, a class mean depends too much on each single label."""
MATERIAL = 0.05
"""Least difference between the shares of wrong labels that two hypotheses find."""


def clusters_of(sample: Sample, first: Hypothesis, labels: Hypothesis) -> Hypothesis | None:
    """Return a hypothesis of structured noise that the features alone support, or None.

    None is also returned if there is a source other than features, or if most classes have few images.

    The gain of a hypothesis is its log-likelihood per label, minus that of the better of two others: the "labels"
    hypothesis, and uniform noise with the class sizes as a source. Because of the class sizes, classes of very
    different sizes do not look like clusters.

    If the classes are well separated, the hypothesis CLUSTERS is chosen even if its gain is slightly negative.
    Otherwise, a hypothesis is chosen only if it has a gain and the image prediction is reliable. Without these
    conditions, it might explain hard images, which look like another class, as wrong labels.

    Parameters
    ----------
    sample : the images on which hypotheses are fitted.
    first, labels : the two "labels" hypotheses of `choice.from_labels`.
    """
    if list(first.scores) != [IMAGES] or not enough_images(sample):
        return None
    least = max(labels.log_likelihood, likelihood(sample, first, None))
    inside = inside_of(sample, labels)
    apart = fitted(sample, CLUSTERS, rounds=4)
    if _are_clusters(sample, apart, least, inside):
        return apart
    best, most = None, 0.0
    for power in POWERS:
        hypothesis = sharpened(sample, first, power)
        gain = (hypothesis.log_likelihood - least) / len(sample.labels)
        more = wrong_share(sample, hypothesis, inside) - wrong_share(sample, labels, inside)
        known = known_by_images(sample, hypothesis)
        pays = known >= KNOWN_WELL or (known >= KNOWN and gain >= GAIN)
        if pays and gain > most and (more >= MATERIAL or (more >= 0 and gain >= GAIN_ALONE)):
            best, most = hypothesis, gain
    return best


def enough_images(sample: Sample) -> bool:
    """Return whether the median number of images per class is at least `ENOUGH_IMAGES`."""
    return bool(np.median(np.bincount(sample.labels, minlength=sample.classes)) >= ENOUGH_IMAGES)


def _are_clusters(sample: Sample, clusters: Hypothesis, least: float, inside: Floats) -> bool:
    """Return whether the hypothesis CLUSTERS meets its conditions, and finds a material share of wrong labels.

    `least` is the log-likelihood of the hypothesis to compare with, and `inside` (N,) the probability that each image
    shows one of the classes.
    """
    certainty = float(sample.likelihoods(clusters.logits).max(1).mean())
    gain = (clusters.log_likelihood - least) / len(sample.labels)
    return certainty >= APART and gain >= LOSS and wrong_share(sample, clusters, inside) >= MATERIAL
