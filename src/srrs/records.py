"""The records that pass between the stages. Frozen, one row per usable sample, validated once where they are made.

N samples, C classes, D feature size. Scores run from 0 to 1, and lower is worse.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
Bools = NDArray[np.bool_]
MatchScores = Callable[[Ints, Ints], Floats]
"""`(rows, classes) -> scores`: how well the picture of each row matches each class, 0..1."""


class Group(IntEnum):
    """What screening says of a sample; `OUTSIDE` shows none of the classes."""

    CLEAN = 0
    AMBIGUOUS = 1
    NOISY = 2
    OUTSIDE = 3


def _check(name: str, array: np.ndarray, shape: tuple[int | None, ...]) -> None:
    fits = array.ndim == len(shape) and all(s in (None, n) for s, n in zip(shape, array.shape, strict=True))
    if not fits:
        wanted = tuple("any" if s is None else s for s in shape)
        raise ValueError(f"{name} must have shape {wanted}, but has {array.shape}")


def _check_finite(name: str, array: np.ndarray) -> None:
    if not np.isfinite(array).all():
        rows = np.unique(np.argwhere(~np.isfinite(array))[:, 0])[:5]
        raise ValueError(f"{name} must be finite, but is not in rows {rows.tolist()}")


@dataclass(frozen=True)
class Evidence:
    """What is known of each sample before anything is decided."""

    ids: tuple[str, ...]
    labels: Ints
    """(N,) given labels."""
    probs: Floats
    """(N, learners, C) predictions of each learner that votes; macro first, then micro."""
    zero_shot: Floats
    """(N, C) predictions of the untuned model, which never saw the given labels."""
    features: Floats
    """(N, D) unit-length image features of the plain view."""
    loss: Floats
    """(N,) joint screening loss (paper, Eq. 5)."""
    agreement: Floats
    """(N,) how much the learners agree: 1 - Jensen-Shannon divergence / ln 2 of the first two; 1 with one."""
    logits: Floats | None = None
    """(N, learners, C) scaled similarities, of methods with learners that advise and do not classify."""
    match: MatchScores | None = field(default=None, repr=False)
    """The image-text matcher, where there is one."""

    def __post_init__(self) -> None:
        n, c = self.zero_shot.shape
        if len(self.ids) != n:
            raise ValueError(f"ids must have shape {(n,)}, but has {(len(self.ids),)}")
        _check("labels", self.labels, (n,))
        _check("probs", self.probs, (n, None, c))
        _check("features", self.features, (n, None))
        _check("loss", self.loss, (n,))
        _check("agreement", self.agreement, (n,))
        _check_finite("loss", self.loss)


@dataclass(frozen=True)
class NoiseEstimate:
    """Estimated share of wrong labels, with a range meant to hold the true share in 90 of 100 data sets."""

    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class Partition:
    """Screening's verdict."""

    group: Ints
    """(N,) values of `Group`."""
    p_clean: Floats
    """(N,) probability that the given label is right."""
    thresholds: Floats
    """(G, 2) lower and upper bound of the ambiguous band; G = 1, or one row per class."""
    noise: NoiseEstimate
    posterior: Floats | None = None
    """(N, C) probability of each true class given all the evidence, where the screening stage models it."""

    def __post_init__(self) -> None:
        n = len(self.group)
        _check("p_clean", self.p_clean, (n,))
        _check("thresholds", self.thresholds, (None, 2))
        _check_finite("p_clean", self.p_clean)


@dataclass(frozen=True)
class Targets:
    """Rectified labels."""

    soft: Floats
    """(N, C) rows sum to 1."""
    weight: Floats
    """(N,) weight of each sample in learning."""

    def __post_init__(self) -> None:
        n = len(self.soft)
        _check("weight", self.weight, (n,))
        total = self.soft.sum(1)
        if not np.isfinite(total).all():  # the sums tell it without an (N, C) temporary
            _check_finite("soft", self.soft)
        if not np.allclose(total, 1, atol=1e-3):
            raise ValueError("every row of soft must sum to 1")

    @property
    def hard(self) -> Ints:
        """(N,) the class each rectified label favours."""
        return np.asarray(self.soft.argmax(1))


@dataclass(frozen=True)
class Matched:
    """Re-screening's verdict: does the picture match its rectified label?"""

    is_match: Bools
    """(N,)"""
    score: Floats
    """(N,) NaN where nothing was scored."""

    def __post_init__(self) -> None:
        _check("score", self.score, (len(self.is_match),))


@dataclass(frozen=True)
class Round:
    """One pass through screening, rectifying and re-screening; the audit is the last one."""

    evidence: Evidence
    partition: Partition
    targets: Targets
    matched: Matched
    quality: Floats
    """(N,) the one score that ranks the given labels, 0 worst; exact ties are rare."""

    @property
    def noise(self) -> NoiseEstimate:
        """Screening's estimate of how many labels are wrong."""
        return self.partition.noise

    def __post_init__(self) -> None:
        n = len(self.evidence.ids)
        for name, size in (
            ("partition", len(self.partition.group)),
            ("targets", len(self.targets.soft)),
            ("matched", len(self.matched.is_match)),
            ("quality", len(self.quality)),
        ):
            if size != n:
                raise ValueError(f"{name} has {size} rows, but the evidence has {n}")
