"""Frozen records that the stages exchange. Each has one entry per usable sample, and checks its shapes when it is made.

N samples, B images of a batch, C classes, V augmented views, D feature size. Scores range from 0 to 1, and lower is
worse. Functions read n of the N samples.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from srrs.mapped import gathered

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
Bools = NDArray[np.bool_]
Keys = NDArray[np.uint64]
MatchScores = Callable[[Ints, Ints], Floats]
"""Function from positions of samples (n,) and class numbers (n,) to scores (n,) from 0 to 1: how well the image matches
the class."""


class Group(IntEnum):
    """The result of screening for one sample."""

    CLEAN = 0
    """The given label is probably right."""
    AMBIGUOUS = 1
    """The given label may be right or wrong."""
    NOISY = 2
    """The given label is probably wrong, and the image shows another class."""
    OUTSIDE = 3
    """The given label is probably wrong, and the image shows none of the classes."""


def _check(name: str, array: np.ndarray, shape: tuple[int | None, ...]) -> None:
    """Raise ValueError if an array has another shape. A length that is None in `shape` is not checked."""
    fits = array.ndim == len(shape) and all(s in (None, n) for s, n in zip(shape, array.shape, strict=True))
    if not fits:
        wanted = tuple("any" if s is None else s for s in shape)
        raise ValueError(f"{name} must have shape {wanted}, but has {array.shape}")


def _check_finite(name: str, array: np.ndarray) -> None:
    """Raise ValueError if an array contains NaN or an infinity."""
    if not np.isfinite(array).all():
        rows = np.unique(np.argwhere(~np.isfinite(array))[:, 0])[:5]
        raise ValueError(f"{name} must be finite, but is not in rows {rows.tolist()}")


@dataclass(frozen=True)
class Batch:
    """The images of one training step, as features or as pixels. A view source makes a batch, and a tuner reads it."""

    features: "Tensor | None" = None
    """(B, D) features."""
    pixels: "Tensor | None" = None
    """(B, 3, H, W) pixels."""


@dataclass(frozen=True, eq=False)
class Features:
    """Unit-length image features of N samples, at N positions of larger arrays. They are read when they are needed."""

    plain: Floats
    """(M, D) features of the plain view of M images, in memory or mapped from disk."""
    views: Floats
    """(M, V, D) features of the augmented views; V may be 0."""
    at: Ints | None = None
    """(N,) position in the arrays of each sample; None if sample i is at position i."""

    def __len__(self) -> int:
        return len(self.plain) if self.at is None else len(self.at)

    def take(self, rows: Ints, views: int | None = None) -> "Features":
        """Return the samples at the positions `rows` (n,), in this order, with at most `views` augmented views.

        No features are copied.
        """
        rows = np.asarray(rows, dtype=np.int64)
        return Features(self.plain, self.views[:, :views], rows if self.at is None else self.at[rows])

    def plain_rows(self, rows: "Ints | slice" = slice(None)) -> Floats:
        """Return the plain features (n, D) of the samples at the positions `rows`, by default of all samples."""
        return gathered(self.plain, rows if self.at is None else self.at[rows])

    def rows(self, rows: "Ints | slice") -> tuple[Floats, Floats]:
        """Return the plain (n, D) and augmented (n, V, D) features of the samples at the positions `rows`."""
        at = rows if self.at is None else self.at[rows]
        return gathered(self.plain, at), gathered(self.views, at)


@dataclass(frozen=True)
class Evidence:
    """The data of each sample that the stages of a method read. A field that no stage reads is empty or None.

    Raises ValueError if the shapes do not match.
    """

    keys: Keys
    """(N,) content keys. The random draw for a sample depends on its key."""
    labels: Ints
    """(N,) given labels."""
    classes: int
    """The number C of classes."""
    logits: Mapping[str, Floats] = field(default_factory=dict)
    """(N, C) scaled logits of each tuner by name, averaged over all views, in the order of the method's tuners."""
    voters: tuple[str, ...] = ()
    """Names of the tuners whose logits the classifier averages (`votes=True`). The stages may read the other logits."""
    zero_shot: Floats | None = None
    """(N, C) probabilities of the untuned model."""
    features: Floats | None = None
    """(N, D) unit-length image features."""
    class_vectors: Floats | None = None
    """(C, D) unit-length class vectors of the untuned model."""
    match: MatchScores | None = field(default=None, repr=False)
    """The scores of the image-text matcher; None without a matcher."""

    def __post_init__(self) -> None:
        n = len(self.keys)
        _check("labels", self.labels, (n,))
        for name, values in self.logits.items():
            _check(f"logits[{name!r}]", values, (n, self.classes))
        if unknown := set(self.voters) - self.logits.keys():
            raise ValueError(f"voters must have logits, but {sorted(unknown)} have none")
        if self.zero_shot is not None:
            _check("zero_shot", self.zero_shot, (n, self.classes))
        if self.features is not None:
            _check("features", self.features, (n, None))
        if self.class_vectors is not None:
            _check("class_vectors", self.class_vectors, (self.classes, None))


@dataclass(frozen=True)
class NoiseEstimate:
    """Estimated share of wrong labels, with a range that should contain the true share for 90 of 100 datasets."""

    rate: float
    """The estimated share, from 0 to 1."""
    low: float
    """Lower end of the range."""
    high: float
    """Upper end of the range."""


@dataclass(frozen=True)
class Thresholds:
    """The score from which screening derives the groups, and the bounds of the ambiguous samples in this score.

    Raises ValueError if the shapes do not match.
    """

    score: str
    """Name of the score, such as `loss` or `p_clean`."""
    lower: Floats
    """(G,) least scores of ambiguous samples: G = 1, or one number per class."""
    upper: Floats
    """(G,) upper bounds of the scores of ambiguous samples; equal to `lower` if no sample can be ambiguous."""
    values: Floats
    """(N,) score of each sample."""

    def __post_init__(self) -> None:
        _check("lower", self.lower, (None,))
        _check("upper", self.upper, self.lower.shape)
        _check("values", self.values, (None,))


@dataclass(frozen=True)
class Finding:
    """One note or warning about the evidence of an audit."""

    level: Literal["info", "warning"]
    """Whether it is a note (`info`) or a warning."""
    text: str
    """The note or warning, for the user."""
    classes: tuple[int, ...] = ()
    """Numbers of the classes that the finding concerns."""


@dataclass(frozen=True)
class Partition:
    """The result of screening: a group and a probability for each given label.

    Raises ValueError if the shapes do not match, or if a probability is not finite.
    """

    group: Ints
    """(N,) values of `Group`."""
    p_clean: Floats
    """(N,) probability that the given label is right."""
    noise: NoiseEstimate
    """Estimate of the share of wrong labels."""
    thresholds: Thresholds | None = None
    """The score and its bounds, if the groups follow from a single score; otherwise None."""
    posterior: Floats | None = None
    """(N, C) posterior probability of each true class, if the screening stage computes it; otherwise None."""
    rectified: Ints | None = None
    """(N,) rectified labels, if the screening stage chooses them; otherwise None."""
    quality: Floats | None = None
    """(N,) score by which the given labels are ranked; None if this is `p_clean`."""
    findings: tuple[Finding, ...] = ()
    """Notes and warnings about the evidence."""
    trusted: bool = True
    """Whether the suggestions are reliable enough to apply them without a review."""

    def __post_init__(self) -> None:
        n = len(self.group)
        _check("p_clean", self.p_clean, (n,))
        _check_finite("p_clean", self.p_clean)
        if self.thresholds is not None:
            _check("thresholds.values", self.thresholds.values, (n,))


@dataclass(frozen=True)
class Targets:
    """The training targets of a round, and the rectified labels.

    Raises ValueError if the shapes do not match, or if target probabilities do not sum to 1.
    """

    soft: Floats
    """(N, C) target probabilities of each sample, which sum to 1."""
    weight: Floats
    """(N,) weight of each sample in training."""
    labels: Ints | None = None
    """(N,) rectified labels; None if these are the most probable classes."""

    def __post_init__(self) -> None:
        n = len(self.soft)
        _check("weight", self.weight, (n,))
        if self.labels is not None:
            _check("labels", self.labels, (n,))
        total = self.soft.sum(1)
        if not np.isfinite(total).all():  # checked by sums, which need no temporary (N, C) array
            _check_finite("soft", self.soft)
        if not np.allclose(total, 1, atol=1e-3):
            raise ValueError("every row of soft must sum to 1")

    @property
    def hard(self) -> Ints:
        """Return the rectified labels (N,), by default the most probable class of each sample."""
        return np.asarray(self.soft.argmax(1)) if self.labels is None else self.labels


@dataclass(frozen=True)
class Matched:
    """The result of re-screening: whether each image matches its rectified label.

    Raises ValueError if the shapes do not match.
    """

    is_match: Bools
    """(N,) whether the image matches its rectified label."""
    score: Floats
    """(N,) score of the match; NaN if none was computed."""

    def __post_init__(self) -> None:
        _check("score", self.score, (len(self.is_match),))


@dataclass(frozen=True)
class Round:
    """The records of one round of screening, rectifying and re-screening. The audit is made from the last round.

    Raises ValueError if the records have different numbers of samples.
    """

    evidence: Evidence
    """The input of the round."""
    partition: Partition
    """The result of screening."""
    targets: Targets
    """The result of rectifying."""
    matched: Matched
    """The result of re-screening."""
    quality: Floats
    """(N,) score by which the given labels are ranked. 0 is the worst value. Exact ties are rare."""

    @property
    def noise(self) -> NoiseEstimate:
        """Return screening's estimate of the share of wrong labels."""
        return self.partition.noise

    def __post_init__(self) -> None:
        n = len(self.evidence.keys)
        for name, size in (
            ("partition", len(self.partition.group)),
            ("targets", len(self.targets.soft)),
            ("matched", len(self.matched.is_match)),
            ("quality", len(self.quality)),
        ):
            if size != n:
                raise ValueError(f"{name} has {size} rows, but the evidence has {n}")
