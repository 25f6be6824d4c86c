"""The model of how the labels came about, fitted by alternation: discriminant, scales, transition matrix.

Two starts are tried. "model" starts from the sources that never saw the labels: it can find mistakes that most images
of a class share. "labels" starts from the images and the given labels: it needs no class vectors, and is not misled by
class vectors that do not know the classes. The start under which the given labels are more likely wins.

N images, C classes, K candidate classes per image.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from srrs.screening.decision import discriminant
from srrs.screening.decision.evidence import FOLDS
from srrs.screening.decision.scales import fit_scales, pooled
from srrs.screening.decision.transition import Fit, Strength, fit_matrix, likelihoods

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

UNIFORM = Strength(3.0, 3.0)
"""Nearly uniform noise, unless many labels say otherwise."""
ROUNDS = 3
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
    """Scores (N, K) of each source that never saw a label."""
    learned: Mapping[str, Floats]
    """Scores (N, K) of each source that learned from the labels, but not from that of the image itself."""
    white: Floats | None
    """(N, R) whitened features."""

    @property
    def given(self) -> NDArray[np.bool_]:
        """(N, K) whether the candidate is the given label."""
        return np.asarray(self.index == self.labels[:, None])


@dataclass(frozen=True)
class Story:
    """A fitted model of how the labels came about."""

    name: str
    """"model" or "labels": what it started from."""
    fit: Fit
    scales: Mapping[str, float]
    """The power of each source."""
    means: Floats | None
    """(F, C, R) class means of other folds, whitened."""
    scores: Mapping[str, Floats]
    """(N, K) of each source."""

    @property
    def log_likelihood(self) -> float:
        """Of the given labels."""
        return self.fit.log_likelihood

    @property
    def logits(self) -> Floats:
        """(N, K) pooled evidence."""
        return pooled(list(self.scores.values()), np.array(list(self.scales.values())))


def tell(sample: Sample, name: str, strength: Strength = UNIFORM, rounds: int = ROUNDS) -> Story:
    """Fit the story that starts from `name`: "model" (sources that never saw a label) or "labels" (the others)."""
    start = dict(sample.unseen) if name == "model" else {**sample.unseen, **sample.learned}
    means = None
    if name == "labels" and sample.white is not None:
        given = np.asarray(sample.given, np.float32)
        means = _means(sample, given)
        start[IMAGES] = discriminant.scores(sample.white, means, sample.fold, sample.index)
    story = _matched(sample, name, start, means, strength, None)
    for _ in range(rounds if sample.white is not None or (name == "model" and sample.learned) else 1):
        every = {**sample.unseen, **sample.learned}
        if sample.white is not None:
            means = _means(sample, story.fit.posterior)
            every[IMAGES] = discriminant.scores(sample.white, means, sample.fold, sample.index)
        story = _matched(sample, name, every, means, strength, story)
    return story


def _matched(
    sample: Sample,
    name: str,
    scores: Mapping[str, Floats],
    means: Floats | None,
    strength: Strength,
    before: Story | None,
) -> Story:
    """Fit the scales to these scores, through the matrix of the story `before` if there is one, and then the matrix."""
    through = None if before is None else before.fit.matrix[sample.index, sample.labels[:, None]].astype(np.float32)
    scales, rate = fit_scales(list(scores.values()), sample.given, sample.classes, transition=through)
    start = rate if before is None else before.fit.rate
    evidence = likelihoods(pooled(list(scores.values()), scales))
    fit = fit_matrix(
        evidence, sample.index, sample.labels, sample.classes, strength, start=float(np.clip(start, 0.01, 0.9))
    )
    return Story(name, fit, dict(zip(scores, scales.tolist(), strict=True)), means, scores)


def _means(sample: Sample, probs: Floats) -> Floats:
    assert sample.white is not None
    return discriminant.fold_means(sample.white, probs, sample.index, sample.classes, sample.fold, FOLDS)
