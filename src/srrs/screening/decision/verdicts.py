"""What the decision says of every label, and what it says about itself.

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
    """One source of evidence, and how it was weighed."""

    name: str
    """"zero-shot", "matcher", "images" or "predictions"."""
    scale: float
    """Fitted power of its likelihood; near 0 for a source that knows nothing."""
    reliability: float
    """Share of images whose true class it predicts, as estimated."""
    agreement: float
    """Share of images whose given label it predicts."""
    saw_labels: bool
    """Whether it learned from the given labels."""


@dataclass(frozen=True)
class Report:
    """What the decision says about itself."""

    sources: tuple[Source, ...]
    decided_by: str
    """Name of the source with the most influence."""
    hypothesis: str
    """"model" or "labels": whose word was taken where the two contradict each other."""
    agreement: float | None
    """Share of images where zero-shot prediction and images alone predict the same class; None without both."""
    model_knows: bool | None
    """Whether the zero-shot model knows the classes; None without one."""
    contradictions: tuple[int, ...]
    """Classes in which zero-shot prediction and labels contradict each other."""
    trusted: bool
    """Whether labels may be changed by this decision without a person's look."""
    advice: tuple[str, ...]
    """Sentences: what the person should do or know."""
    limits: str
    """What the estimate cannot see."""


@dataclass(frozen=True)
class Verdicts:
    """What is decided about every label."""

    posterior: Floats
    """(N, C) probability of each true class of an image that shows one of them; rows sum to 1."""
    p_outside: Floats
    """(N,) probability that the image shows none of the classes."""
    p_clean: Floats
    """(N,) probability that the given label is right: (1 - p_outside) times the posterior of the given class."""
    quality: Floats
    """(N,) score from 0 to 1 that ranks the given labels, worst first."""
    group: Ints
    """(N,) values of `Group`."""
    target: Ints
    """(N,) the rectified label."""
    noise: NoiseEstimate
    """Share of wrong labels, with a range."""
    transition: Floats
    """(C, C) probability of each given label (column) for each true class (row)."""
    report: Report
