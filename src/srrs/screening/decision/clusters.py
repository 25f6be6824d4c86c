"""Structured noise that the images alone show: classes that lie well apart are clusters, whatever their labels say."""

import numpy as np
from numpy.typing import NDArray

from srrs.screening.decision.agreement import inside_of, known_by_images, wrong_share
from srrs.screening.decision.hypotheses import CLUSTERS, IMAGES, Hypothesis, Sample, fitted, sharpened
from srrs.screening.decision.proof import likelihood

Floats = NDArray[np.floating]

POWERS = (1.0, 3.0)
"""Powers of the fitted scales from which a hypothesis is fitted."""
KNOWN, KNOWN_WELL, GAIN, GAIN_ALONE = 0.87, 0.95, 0.03, 0.05
"""Share of images whose class the images tell, from which such a hypothesis is chosen, and with any gain; least gain in
log-likelihood per label otherwise, and for a hypothesis that finds hardly more wrong labels."""
APART, LOSS = 0.95, -0.05
"""Least mean certainty of the images alone to believe that classes are clusters, and the most that this may cost in
log-likelihood per label."""
ENOUGH_IMAGES = 8
"""Least median of the images per class: means of fewer follow their labels."""
MATERIAL = 0.05
"""Least difference in the noise rate."""


def clusters_of(sample: Sample, first: Hypothesis, labels: Hypothesis) -> Hypothesis | None:
    """The hypothesis of structured noise that the images alone tell, if it is chosen; None without features.

    Classes that lie well apart are clusters, whatever their labels say. Classes that lie less apart must gain in
    log-likelihood, and the images must know them well: else the structure is that of images that look like another
    class. Classes of very different size are no clusters: the gain is over uniform noise that knows their sizes.
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
    """Whether most classes have enough images for what they say of each other."""
    return bool(np.median(np.bincount(sample.labels, minlength=sample.classes)) >= ENOUGH_IMAGES)


def _are_clusters(sample: Sample, clusters: Hypothesis, least: float, inside: Floats) -> bool:
    """Whether the classes lie so well apart that the images say which labels are wrong, and some are."""
    certainty = float(sample.likelihoods(clusters.logits).max(1).mean())
    gain = (clusters.log_likelihood - least) / len(sample.labels)
    return certainty >= APART and gain >= LOSS and wrong_share(sample, clusters, inside) >= MATERIAL
