"""Hypotheses about how the given labels follow from the true classes.

A hypothesis is a fitted model with three parts: the discriminant of the features, the scales of the sources, and the
transition matrix. The parts are fitted in turn. A fit has one of two starts. The start "model" uses only the label-free
sources (zero-shot prediction and matcher), so it can find mistakes that most images of a class share. The start
"labels" also uses the features with the given labels, and usually assumes nearly uniform noise. It does not change
labels where wrong labels cannot be distinguished from hard images. `choice` chooses one hypothesis.

N images, C classes, K candidate classes per image, R dimensions of the centered features, F folds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from srrs.screening.decision import discriminant
from srrs.screening.decision.scales import fit_scales, likelihoods, pooled
from srrs.screening.decision.transition import Fit, Strength, fit_matrix

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

UNIFORM = Strength(3.0, 3.0)
"""Strong prior towards uniform noise. Many labels can outweigh it."""
FREE = Strength(0.3, 0.1)
"""Weak prior towards uniform noise, which permits noise of any structure."""
SHARP_START = 2.0
"""Scale of the label-free sources at the start of a sharp hypothesis. With a lower scale, a wrong label looks like a
label of a hard image."""
SHARP_IMAGES = 1.0
"""Scale of the discriminant at the start of a sharp hypothesis. A scale of 1 is right for Gaussian classes."""
FREE_RATE = 0.3
"""Least noise rate from which a fit of structured noise starts."""
REFINED = 2
"""Number of refits of a sharpened hypothesis."""
ZERO_SHOT = "zero-shot"
"""Name of the zero-shot prediction as a source."""
IMAGES = "images"
"""Name of the out-of-fold discriminant as a source."""


@dataclass(frozen=True)
class Sample:
    """The images on which hypotheses are fitted, sorted by key and label, or a block of other images."""

    labels: Ints
    """(N,) given labels."""
    fold: Ints
    """(N,) fold of each image."""
    classes: int
    index: Ints
    """(N, K) candidate classes, among them the given class."""
    unseen: Mapping[str, Floats]
    """Scores of each label-free source: (N, K), or (N, K + 1) with the mean of all other classes as the last column."""
    learned: Mapping[str, Floats]
    """Scores of each source that learned from labels, but not from the label of the image itself, in the same
    shapes."""
    centered: Floats | None
    """(N, R) centered features; None without features."""
    scatter: Floats | None = None
    """(F, R, R) scatter of the features of all other folds; None if no discriminant is fitted."""
    even: Floats | None = None
    """(C,) offset that turns zero-shot scores balanced to the label shares into scores balanced to equal classes."""

    def under(self, kind: "Kind") -> "Sample":
        """Return the sample with the class prior of a kind of hypothesis (see `Kind.even`)."""
        if not kind.even or self.even is None or ZERO_SHOT not in self.unseen:
            return self
        scores = np.array(self.unseen[ZERO_SHOT])
        scores[:, : self.index.shape[1]] += self.even[self.index]
        return replace(self, unseen={**self.unseen, ZERO_SHOT: scores})

    @property
    def given(self) -> NDArray[np.bool_]:
        """Return (N, K) whether each candidate is the given label."""
        return np.asarray(self.index == self.labels[:, None])

    def likelihoods(self, logits: Floats) -> Floats:
        """Return the probabilities (N, K) of the candidates, from pooled scores (N, K) or (N, K + 1)."""
        return likelihoods(logits, self.index.shape[1], self.classes)

    def predicted(self, scores: Floats) -> Ints:
        """Return the column (N,) of the candidate with the highest score."""
        return np.asarray(scores[:, : self.index.shape[1]].argmax(1))


@dataclass(frozen=True)
class Hypothesis:
    """A fitted model of how the given labels follow from the true classes."""

    kind: "Kind"
    fit: Fit
    scales: Mapping[str, float]
    """Scale of each source: the power to which its likelihood is raised."""
    means: discriminant.Means | None
    """Class means for each fold, computed on the other folds; None if the discriminant is not a source."""
    scores: Mapping[str, Floats]
    """Scores of each source, (N, K) or (N, K + 1)."""

    @property
    def name(self) -> str:
        """Return the start of the fit, "model" or "labels"."""
        return self.kind.start

    @property
    def log_likelihood(self) -> float:
        """Return the log-likelihood of all given labels, in nats."""
        return float(self.fit.log_likelihoods.sum(dtype=np.float64))

    @property
    def logits(self) -> Floats:
        """Return the pooled scores (N, K) or (N, K + 1)."""
        return pooled(list(self.scores.values()), np.array(list(self.scales.values())))


@dataclass(frozen=True)
class Kind:
    """Settings with which a hypothesis is fitted."""

    start: str
    """"model": the fit starts from the label-free sources. "labels": it starts from all sources."""
    strength: Strength
    """Strength of the prior towards uniform noise."""
    sharp: bool = False
    """Whether the sources start from the scales SHARP_START and SHARP_IMAGES instead of fitted scales."""
    temper: float = 1.0
    """Factor of all fitted scales. Below 1, it makes the evidence softer."""
    even: bool = False
    """Whether zero-shot predictions are balanced to equal classes instead of the label shares."""


LABELS, MILD = Kind("labels", UNIFORM), Kind("model", UNIFORM)
"""Nearly uniform noise, with the two starts."""
LOOSE = Kind("labels", FREE)
"""Structured noise from the same start as LABELS. It improves the ranking, but does not decide."""
CLUSTERS = Kind("labels", FREE, sharp=True)
"""Structured noise for features alone: well-separated classes are clusters, whatever their labels are."""
SHARP, TEMPERED = Kind("model", FREE, sharp=True), Kind("model", FREE, temper=0.6)
"""Two hypotheses of structured noise. Sharp evidence finds mistakes between similar classes if the model is reliable.
Tempered evidence finds pairs of exchanged classes even if the model is weak."""


def fitted(sample: Sample, kind: Kind, rounds: int = 1) -> Hypothesis:
    """Fit a hypothesis of a kind from its start, and refit it `rounds` times to its own posterior."""
    sample = sample.under(kind)
    scores = dict(sample.unseen) if kind.start == "model" else {**sample.unseen, **sample.learned}
    means = None
    if kind.start == "labels" and sample.centered is not None:
        means = _means(sample, np.asarray(sample.given, np.float32))
        scores[IMAGES] = discriminant.scores(sample.centered, means, sample.fold, sample.index)
    scales, rate = fit_scales(list(scores.values()), sample.given, sample.classes)
    if kind.strength == FREE:
        rate = max(rate, FREE_RATE)
    if kind.sharp:
        scales = np.array([SHARP_IMAGES if source == IMAGES else SHARP_START for source in scores])
        rate = FREE_RATE
    hypothesis = _hypothesis(sample, kind, scores, scales, rate, means)
    for _ in range(rounds):
        hypothesis = _refitted(sample, hypothesis)
    return hypothesis


def sharpened(sample: Sample, first: Hypothesis, power: float) -> Hypothesis:
    """Fit a hypothesis of structured noise to the sources of the hypothesis `first`, and refit it.

    The scales at the start are `power` times those of `first`. Reason: if classes are well separated, soft evidence
    without wrong labels explains the labels as well as sharp evidence with wrong labels. A start with sharp evidence
    leads to the second explanation.
    """
    scales = power * np.array(list(first.scales.values()))
    hypothesis = _hypothesis(sample, CLUSTERS, first.scores, scales, FREE_RATE, first.means)
    for _ in range(REFINED):
        hypothesis = _refitted(sample, hypothesis)
    return hypothesis


def refitted(sample: Sample, hypothesis: Hypothesis) -> Hypothesis:
    """Refit a hypothesis: the discriminant to its posterior, the scales with its matrix, then the matrix."""
    return _refitted(sample.under(hypothesis.kind), hypothesis)


def _refitted(sample: Sample, hypothesis: Hypothesis) -> Hypothesis:
    scores, means = {**sample.unseen, **sample.learned}, None
    if sample.centered is not None:
        means = _means(sample, hypothesis.fit.posterior)
        scores[IMAGES] = discriminant.scores(sample.centered, means, sample.fold, sample.index)
    through = hypothesis.fit.matrix[sample.index, sample.labels[:, None]].astype(np.float32)
    scales, _ = fit_scales(list(scores.values()), sample.given, sample.classes, transition=through)
    return _hypothesis(sample, hypothesis.kind, scores, scales, hypothesis.fit.rate, means)


def _hypothesis(
    sample: Sample,
    kind: Kind,
    scores: Mapping[str, Floats],
    scales: Floats,
    rate: float,
    means: discriminant.Means | None,
) -> Hypothesis:
    """Fit the transition matrix to the scaled scores, from the noise rate `rate`, and return the hypothesis."""
    scales = kind.temper * scales
    evidence = sample.likelihoods(pooled(list(scores.values()), scales))
    start = float(np.clip(rate, 0.003, 0.9))
    fit = fit_matrix(evidence, sample.index, sample.labels, sample.classes, kind.strength, start=start)
    return Hypothesis(kind, fit, dict(zip(scores, scales.tolist(), strict=True)), means, scores)


def _means(sample: Sample, probs: Floats) -> discriminant.Means:
    assert sample.centered is not None
    assert sample.scatter is not None
    return discriminant.fold_means(sample.centered, sample.scatter, probs, sample.index, sample.classes, sample.fold)
