"""The model of how the labels came about, fitted by alternation: discriminant, scales, transition matrix.

Two starts are tried. "model" starts from the sources that never saw the labels: it can find mistakes that most images
of a class share. "labels" starts from the images and the given labels, and from nearly uniform noise: it leaves labels
alone where mistakes cannot be told from hard images. `choice` takes one of them.

N images, C classes, K candidate classes per image.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from srrs.screening.decision import discriminant
from srrs.screening.decision.evidence import FOLDS
from srrs.screening.decision.scales import fit_scales, likelihoods, pooled
from srrs.screening.decision.transition import Fit, Strength, fit_matrix

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

UNIFORM = Strength(3.0, 3.0)
"""Nearly uniform noise, unless many labels say otherwise."""
FREE = Strength(0.3, 0.1)
"""Noise of any structure."""
SHARP_START = 2.0
"""Scale of the unseen sources at the start of a sharp story, which finds mistakes that soft evidence would excuse."""
SHARP_RATE = 0.3
"""First guess of the noise rate of a sharp story."""
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
    white: Floats | None
    """(N, R) whitened features."""

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
class Story:
    """A fitted model of how the labels came about."""

    name: str
    """"model" or "labels": what it started from."""
    strength: Strength
    fit: Fit
    scales: Mapping[str, float]
    """The power of each source."""
    means: discriminant.Means | None
    """Class means of other folds."""
    scores: Mapping[str, Floats]
    """Of each source."""

    @property
    def log_likelihood(self) -> float:
        """Of the given labels."""
        return float(self.fit.log_likelihoods.sum(dtype=np.float64))

    @property
    def logits(self) -> Floats:
        """Pooled scores."""
        return pooled(list(self.scores.values()), np.array(list(self.scales.values())))


def tell(sample: Sample, name: str, strength: Strength, *, sharp: bool = False, rounds: int = 1) -> Story:
    """Fit the story that starts from `name`: "model" (sources that never saw a label) or "labels" (all of them)."""
    scores = dict(sample.unseen) if name == "model" else {**sample.unseen, **sample.learned}
    means = None
    if name == "labels" and sample.white is not None:
        means = _means(sample, np.asarray(sample.given, np.float32))
        scores[IMAGES] = discriminant.scores(sample.white, means, sample.fold, sample.index)
    scales, rate = fit_scales(list(scores.values()), sample.given, sample.classes)
    if sharp:
        scales, rate = np.full(len(scores), SHARP_START), SHARP_RATE
    story = _story(sample, name, scores, scales, rate, strength, means)
    for _ in range(rounds):
        story = continued(sample, story, strength)
    return story


def continued(sample: Sample, story: Story, strength: Strength) -> Story:
    """Fit the story once more: the discriminant to its posterior, the scales through its matrix, then the matrix."""
    scores, means = {**sample.unseen, **sample.learned}, None
    if sample.white is not None:
        means = _means(sample, story.fit.posterior)
        scores[IMAGES] = discriminant.scores(sample.white, means, sample.fold, sample.index)
    through = story.fit.matrix[sample.index, sample.labels[:, None]].astype(np.float32)
    scales, _ = fit_scales(list(scores.values()), sample.given, sample.classes, transition=through)
    return _story(sample, story.name, scores, scales, story.fit.rate, strength, means)


def _story(
    sample: Sample,
    name: str,
    scores: Mapping[str, Floats],
    scales: Floats,
    rate: float,
    strength: Strength,
    means: discriminant.Means | None,
) -> Story:
    """Fit the matrix to the scaled scores, from a first guess of the rate."""
    evidence = sample.likelihoods(pooled(list(scores.values()), scales))
    start = float(np.clip(rate, 0.003, 0.9))
    fit = fit_matrix(evidence, sample.index, sample.labels, sample.classes, strength, start=start)
    return Story(name, strength, fit, dict(zip(scores, scales.tolist(), strict=True)), means, scores)


def _means(sample: Sample, probs: Floats) -> discriminant.Means:
    assert sample.white is not None
    return discriminant.fold_means(sample.white, probs, sample.index, sample.classes, sample.fold, FOLDS)
