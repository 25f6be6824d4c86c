"""The result of the decision: the verdicts about every label, and the report on the whole dataset.

N samples, C classes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from srrs.records import NoiseEstimate

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]


@dataclass(frozen=True)
class Source:
    """One source of evidence, and its weight in the decision."""

    name: str
    """"zero-shot", "matcher", "images" (the out-of-fold discriminant of the features) or "predictions"."""
    scale: float
    """Fitted power of its likelihood; near 0 for a source without information about the labels."""
    reliability: float
    """Estimated share of images whose true class the source predicts."""
    agreement: float
    """Share of images whose given label the source predicts."""
    saw_labels: bool
    """Whether the source learned from the given labels."""


@dataclass(frozen=True)
class Report:
    """The report on the decision for the whole dataset: sources, choice of the hypothesis, and advice for the user."""

    sources: tuple[Source, ...]
    """The sources of evidence of the hypothesis that decided."""
    decided_by: str
    """Name of the source with the largest share of the pooled evidence."""
    hypothesis: str
    """Start of the hypothesis that decided. "model": zero-shot prediction and matcher. "labels": all sources, with the
    features and given labels."""
    agreement: float | None
    """Share of images for which zero-shot prediction (pooled with the matcher) and image prediction agree; None if
    either is missing."""
    model_knows: bool | None
    """Whether the zero-shot model has information about the classes; None without a zero-shot model."""
    contradictions: tuple[int, ...]
    """Classes in which the model contradicts nearly all labels."""
    trusted: bool
    """Whether labels may be changed without a review by a person."""
    advice: tuple[str, ...]
    """Sentences for the user: what to check, and what affects the result."""
    limits: str
    """Sentence: which mistakes the estimate of the noise rate cannot contain."""


@dataclass(frozen=True)
class Verdicts:
    """The verdicts about all labels."""

    posterior: Floats
    """(N, C) probability of each true class, given that the image shows one of the classes; rows sum to 1."""
    p_outside: Floats
    """(N,) probability that the image shows none of the classes."""
    p_clean: Floats
    """(N,) probability that the given label is right: (1 - p_outside) times the posterior of the given class."""
    quality: Floats
    """(N,) score from 0 to 1 that ranks the given labels; the worst label has the lowest score."""
    group: Ints
    """(N,) values of `Group`."""
    target: Ints
    """(N,) the rectified labels."""
    noise: NoiseEstimate
    """Estimated share of wrong labels, with a range."""
    transition: Floats
    """(C, C) probability of each given label (column) for each true class (row)."""
    report: Report
