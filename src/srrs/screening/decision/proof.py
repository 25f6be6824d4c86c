"""The proof of wrong labels: whether wrong labels explain the given labels better than hard images do.

Labels change only with such a proof. Reason: hard images look like another class, so their correct labels can look
wrong.

N images, K candidate classes per image.
"""

import numpy as np
from numpy.typing import NDArray

from srrs.screening.decision.hypotheses import Hypothesis, Sample
from srrs.screening.decision.scales import fit_scales, pooled

Floats = NDArray[np.floating]

PROOF, PROOF_OF_DOUBT = 3.3, 16.0
"""Least gain in log-likelihood of uniform noise over no noise: PROOF + PROOF_OF_DOUBT r (1 - r) (1 - A), with the noise
rate r and the agreement A of `is_proven`. PROOF is a likelihood-ratio test of one parameter at 1 %. The second term is
there because many labels look wrong on little evidence if the sources disagree."""
LATER, LATER_OF_CLASS = 25.0, 2.0
"""Least gain over no noise of a hypothesis that was fitted to its own posterior: in total, and per class, because the
hypothesis fits a noise rate for each class. The larger total is used."""
NO_NOISE = 1e-4
"""Noise rate of the hypothesis that there is no noise."""


def is_proven(sample: Sample, first: Hypothesis, later: Hypothesis, agreement: float | None) -> bool:
    """Return whether wrong labels explain the given labels so much better than no noise that labels may change.

    Parameters
    ----------
    sample : the images on which the hypotheses were fitted.
    first : the "labels" hypothesis whose class means are computed from the given labels.
    later : the hypothesis that decides. It was fitted to its own posterior. If every source learned from the labels,
        such a fit confirms itself, so it is ignored without a source that did not learn from them.
    agreement : agreement of the label-free sources with the image prediction; None counts as full agreement.
    """
    none = likelihood(sample, first, NO_NOISE)
    doubt = 0.0 if agreement is None else 1 - agreement
    rate = first.fit.rate
    if likelihood(sample, first, None) - none >= PROOF + PROOF_OF_DOUBT * rate * (1 - rate) * doubt:
        return True
    least = max(LATER, LATER_OF_CLASS * sample.classes)
    return bool(sample.unseen) and later.log_likelihood - none >= least


def likelihood(sample: Sample, first: Hypothesis, rate: float | None) -> float:
    """Return the log-likelihood of the given labels under uniform noise, in nats.

    `rate` is the noise rate; None for the most likely rate. The sources are those of `first`, with scales that are
    fitted anew, and the class sizes, so that a frequent label is likely without any mistake.
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
    """Return scores in the shape of `like`: the logarithm of the number of labels of each candidate class, plus 1."""
    found = np.log(np.bincount(sample.labels, minlength=sample.classes) + 1).astype(np.float32)
    scores = np.full(like.shape, found.mean(), np.float32)
    scores[:, : sample.index.shape[1]] = found[sample.index]
    return scores


def _uniform(sample: Sample, rate: float) -> Floats:
    """Return the probability (N, K) of the given label for each candidate class, under uniform noise of this rate."""
    return np.where(sample.given, 1 - rate, rate / max(sample.classes - 1, 1)).astype(np.float32)
