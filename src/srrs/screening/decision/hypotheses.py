"""The model of how the labels came about, fitted by alternation: discriminant, scales, transition matrix.

Two starts are tried. "model" starts from the sources that never saw the labels: it can find mistakes that most images
of a class share. "labels" starts from the images and the given labels, and from nearly uniform noise: it leaves labels
alone where mistakes cannot be distinguished from hard images. `choice` takes one of them.

N images, C classes, K candidate classes per image.
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
"""Nearly uniform noise, unless many labels say otherwise."""
FREE = Strength(0.3, 0.1)
"""Noise of any structure."""
SHARP_START = 2.0
"""Scale of the unseen sources at the start of a sharp hypothesis: it finds mistakes that soft evidence would excuse."""
SHARP_IMAGES = 1.0
"""The same of the images: that of Gaussian classes whose directions are independent."""
FREE_RATE = 0.3
"""Least first guess of the noise rate of a hypothesis of structured noise."""
REFINED = 2
"""Refinements of a sharpened hypothesis."""
ZERO_SHOT = "zero-shot"
IMAGES = "images"
"""Name of the source that is the out-of-fold discriminant."""


@dataclass(frozen=True)
class Sample:
    """The images that the model is fitted on, in canonical order."""

    labels: Ints
    """(N,)"""
    fold: Ints
    """(N,)"""
    classes: int
    index: Ints
    """(N, K) candidate classes; the given one is among them."""
    unseen: Mapping[str, Floats]
    """Scores of each source that never saw a label, (N, K) or with one more column for all other classes."""
    learned: Mapping[str, Floats]
    """Scores of each source that learned from the labels, but not from that of the image itself."""
    centered: Floats | None
    """(N, R) centered features."""
    scatter: Floats | None = None
    """(F, R, R) scatter of each fold's features, where the discriminant is fitted."""
    even: Floats | None = None
    """(C,) what turns zero-shot scores balanced to the label shares into scores balanced to equal classes."""

    def under(self, kind: "Kind") -> "Sample":
        """The sample with the class prior of a kind."""
        if not kind.even or self.even is None or ZERO_SHOT not in self.unseen:
            return self
        scores = np.array(self.unseen[ZERO_SHOT])
        scores[:, : self.index.shape[1]] += self.even[self.index]
        return replace(self, unseen={**self.unseen, ZERO_SHOT: scores})

    @property
    def given(self) -> NDArray[np.bool_]:
        """(N, K) whether the candidate is the given label."""
        return np.asarray(self.index == self.labels[:, None])

    def likelihoods(self, logits: Floats) -> Floats:
        """(N, K) probabilities of the candidates, from pooled scores."""
        return likelihoods(logits, self.index.shape[1], self.classes)

    def predicted(self, scores: Floats) -> Ints:
        """(N,) place of the candidate with the highest score."""
        return np.asarray(scores[:, : self.index.shape[1]].argmax(1))


@dataclass(frozen=True)
class Hypothesis:
    """A fitted model of how the labels came about."""

    kind: "Kind"
    fit: Fit
    scales: Mapping[str, float]
    """The power of each source."""
    means: discriminant.Means | None
    """Class means of other folds."""
    scores: Mapping[str, Floats]
    """Of each source."""

    @property
    def name(self) -> str:
        """ "model" or "labels": what it started from."""
        return self.kind.start

    @property
    def log_likelihood(self) -> float:
        """Of the given labels."""
        return float(self.fit.log_likelihoods.sum(dtype=np.float64))

    @property
    def logits(self) -> Floats:
        """Pooled scores."""
        return pooled(list(self.scores.values()), np.array(list(self.scales.values())))


@dataclass(frozen=True)
class Kind:
    """How a hypothesis is fitted."""

    start: str
    """"model": from the sources that never saw a label. "labels": from all of them."""
    strength: Strength
    sharp: bool = False
    """Whether the sources start from SHARP_START instead of their fitted scales."""
    temper: float = 1.0
    """What fitted scales are multiplied by."""
    even: bool = False
    """Whether zero-shot predictions are balanced to equal classes instead of the label shares."""


LABELS, MILD = Kind("labels", UNIFORM), Kind("model", UNIFORM)
LOOSE = Kind("labels", FREE)
"""Structured noise from the same start as LABELS: it ranks mistakes between classes better than it decides them."""
CLUSTERS = Kind("labels", FREE, sharp=True)
"""Without other sources, classes that lie well apart are clusters, whatever their labels say."""
SHARP, TEMPERED = Kind("model", FREE, sharp=True), Kind("model", FREE, temper=0.6)
"""Two hypotheses of structured noise: sharp evidence finds mistakes between similar classes where the model knows them;
tempered evidence finds pairs of swapped classes where it hardly does."""


def fitted(sample: Sample, kind: Kind, rounds: int = 1) -> Hypothesis:
    """Fit a hypothesis from its start, and `rounds` more times from its own posterior."""
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
    """Fit a hypothesis of structured noise to the sources of another one, from `power` times their scales on.

    Where classes lie apart, soft evidence without wrong labels explains the labels as well as sharp evidence with wrong
    ones. So the fit starts from sharp evidence, and is refined from its own posterior.
    """
    scales = power * np.array(list(first.scales.values()))
    hypothesis = _hypothesis(sample, CLUSTERS, first.scores, scales, FREE_RATE, first.means)
    for _ in range(REFINED):
        hypothesis = _refitted(sample, hypothesis)
    return hypothesis


def refitted(sample: Sample, hypothesis: Hypothesis) -> Hypothesis:
    """Fit it once more: the discriminant to its posterior, the scales through its matrix, then the matrix."""
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
    """Fit the matrix to the scaled scores, from a first guess of the rate."""
    scales = kind.temper * scales
    evidence = sample.likelihoods(pooled(list(scores.values()), scales))
    start = float(np.clip(rate, 0.003, 0.9))
    fit = fit_matrix(evidence, sample.index, sample.labels, sample.classes, kind.strength, start=start)
    return Hypothesis(kind, fit, dict(zip(scores, scales.tolist(), strict=True)), means, scores)


def _means(sample: Sample, probs: Floats) -> discriminant.Means:
    assert sample.centered is not None
    assert sample.scatter is not None
    return discriminant.fold_means(sample.centered, sample.scatter, probs, sample.index, sample.classes, sample.fold)
