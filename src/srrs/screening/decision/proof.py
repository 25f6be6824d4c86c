"""Whether wrong labels explain the given labels better than hard images do.

Labels change only where they do: hard images, which look like another class, can mimic wrong labels.

N images, K candidate classes per image.
"""

import numpy as np
from numpy.typing import NDArray

from srrs.screening.decision.hypotheses import Hypothesis, Sample
from srrs.screening.decision.scales import fit_scales, pooled

Floats = NDArray[np.floating]

PROOF, PROOF_OF_DOUBT = 3.3, 16.0
"""Least gain in log-likelihood of uniform noise over none: a likelihood-ratio test of one parameter at 1 %; and what it
grows by, times the variance of whether a label is wrong, times the share of images on which the sources disagree. Where
they disagree, many labels look wrong for little evidence."""
LATER, LATER_OF_CLASS = 25.0, 2.0
"""The same for a hypothesis that was fitted to its own posterior: in all, or for each class, whose rates it fits."""
NO_NOISE = 1e-4
"""Noise rate that counts as none."""


def is_proven(sample: Sample, first: Hypothesis, later: Hypothesis, agreement: float | None) -> bool:
    """Whether wrong labels explain the labels so much better than none that labels may change.

    `first` is the fit before any label was doubted, `later` the one that decides, and `agreement` that of the sources
    that never saw a label with the images. A fit to its own posterior confirms itself where every source learned from
    the labels, so it counts only beside a source that did not.
    """
    none = likelihood(sample, first, NO_NOISE)
    doubt = 0.0 if agreement is None else 1 - agreement
    rate = first.fit.rate
    if likelihood(sample, first, None) - none >= PROOF + PROOF_OF_DOUBT * rate * (1 - rate) * doubt:
        return True
    least = max(LATER, LATER_OF_CLASS * sample.classes)
    return bool(sample.unseen) and later.log_likelihood - none >= least


def likelihood(sample: Sample, first: Hypothesis, rate: float | None) -> float:
    """Return the log-likelihood of the given labels under uniform noise of a rate, or of the best rate for None.

    The scales are fitted anew. Class sizes are one more source: frequent labels are likely without any mistake.
    """
    sources = [*first.scores.values(), _sizes(sample, next(iter(first.scores.values())))]
    if rate is None:
        scales, rate = fit_scales(sources, sample.given, sample.classes)
        transition = _uniform(sample, rate)
    else:
        transition = _uniform(sample, rate)
        scales, _ = fit_scales(sources, sample.given, sample.classes, transition=transition)
    joint = sample.likelihoods(pooled(sources, scales)) * transition
    return float(np.log(np.maximum(joint.sum(1), 1e-30)).sum(dtype=np.float64))


def _sizes(sample: Sample, like: Floats) -> Floats:
    """Return scores in the shape of others: the logarithm of how many images have the label of each candidate."""
    found = np.log(np.bincount(sample.labels, minlength=sample.classes) + 1).astype(np.float32)
    scores = np.full(like.shape, found.mean(), np.float32)
    scores[:, : sample.index.shape[1]] = found[sample.index]
    return scores


def _uniform(sample: Sample, rate: float) -> Floats:
    """Return the probability (N, K) of the given label for each candidate class under uniform noise."""
    return np.where(sample.given, 1 - rate, rate / max(sample.classes - 1, 1)).astype(np.float32)
