"""Fitting of the hypotheses about the labels, and the choice of the hypothesis that decides (by `selection`).

The model may contradict nearly all labels, of all classes or of one class. The data alone do not show whether these
labels are systematically wrong, or the class vectors do not describe the classes. Therefore, these labels are kept, and
the report names the classes.

The *label-free sources* are zero-shot prediction and matcher. The *image prediction* is the out-of-fold prediction from
the features. A *gain* is the log-likelihood per label of a hypothesis, minus that of the "labels" hypothesis. N images,
K candidate classes per image.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from srrs.screening.decision import hypotheses
from srrs.screening.decision.agreement import (
    WHOLESALE,
    above_chance,
    agreement_of,
    ahead_of_labels,
    contradicted,
    inside_of,
    is_confirmed,
    is_useless,
    known_by_images,
    reliability_of,
    wrong_share,
)
from srrs.screening.decision.clusters import KNOWN_WELL, clusters_of, enough_images
from srrs.screening.decision.hypotheses import LOOSE, Hypothesis, Sample, fitted, refitted
from srrs.screening.decision.proof import is_proven
from srrs.screening.decision.selection import LABELS, MILD, SHARP, TEMPERED, Facts, Thresholds, selected

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
Bools = NDArray[np.bool_]
Trust = Literal["auto", "labels", "model"]

AT = Thresholds()
AGREE_WELL = 0.9
"""Agreement of the label-free sources with the image prediction from which wrong labels need no other proof."""
AGREE_FEW = 0.7
"""Reliability of the label-free sources from which wrong labels that structured noise finds need no other proof, if
most classes have few images. With enough images, `Thresholds.agree` applies."""
DOUBT = 0.1
"""If a hypothesis finds unseen mistakes, its noise rate extends the range of the estimate unless its gain is below
minus this value."""
GAIN_LOOSE = 0.075
"""Least gain of the hypothesis LOOSE with which it takes part in the ranking."""
AHEAD = 0.25
"""Wrong labels need no other proof if two sources agree with each other for a share of images that is at least this
much higher than the share for which one of them agrees with the label."""
MANY, MORE_ROUNDS = 0.35, 2
"""With features alone, the "labels" hypothesis is refitted MORE_ROUNDS more times if its first noise rate is above
MANY, because its first class means are computed from many wrong labels."""


@dataclass(frozen=True)
class Choice:
    """The hypothesis that decides, the classes in which the model contradicts the labels, and the proof."""

    hypothesis: Hypothesis
    posterior: Floats
    """(N, K) posterior of the sample under the chosen hypothesis; for the labels of `contradictions`, under
    "labels"."""
    contradictions: Ints
    """Classes in which the model contradicts nearly all labels (see `contradicted`)."""
    agreement: float | None
    """Share of images for which label-free sources and image prediction agree; None if either of the two is missing."""
    first_rate: float
    """Noise rate of the first "labels" hypothesis, whose class means are computed from the given labels."""
    proven: bool
    """Whether wrong labels are proven, so that labels may change (see `proof`)."""
    rivals: tuple[Hypothesis, ...] = ()
    """Further hypotheses that take part in the ranking."""
    rates: tuple[float, ...] = ()
    """Noise rates of further hypotheses that explain the labels nearly as well. They extend the range of the
    estimate."""
    ignored: bool = False
    """Whether the label-free sources were ignored, because they have no information about the classes
    (`is_useless`)."""


def choose(sample: Sample, trust: Trust) -> Choice:
    """Fit the hypotheses that the sources allow, and return the one that decides.

    With `trust` "labels", the "labels" hypothesis decides. With "model", the sharp hypothesis decides, which starts
    from the label-free sources. With "auto", the data determine the hypothesis. Without label-free sources, "model" is
    the same as "auto".
    """
    first, labels = from_labels(sample)
    agreement = agreement_of(sample, labels)
    # Ignore label-free sources that have no information about the classes
    if trust == "auto" and is_useless(sample, labels):
        return replace(choose(replace(sample, unseen={}), trust), agreement=agreement, ignored=True)
    none = np.zeros(0, np.int64)
    mild = fitted(sample, hypotheses.MILD) if sample.unseen else None
    known = None if mild is None else reliability_of(sample, mild)
    proven = _is_plain(sample, first, labels, agreement) or is_proven(sample, first, labels, known)
    by_labels = Choice(labels, labels.fit.posterior, none, agreement, first.fit.rate, proven)
    if trust == "labels":
        return by_labels
    # Without label-free sources, "labels" decides, or clusters that the features show
    if mild is None or known is None:
        clusters = clusters_of(sample, first, labels)
        return by_labels if clusters is None else _by_clusters(clusters, agreement, none)
    # The hypotheses that start from the label-free sources, and the selection
    sharp = sharp_of(sample)
    if trust == "model":
        sure = refitted(sample, sharp)
        return replace(by_labels, hypothesis=sure, posterior=sure.fit.posterior, proven=True)
    against = contradicted(sample, sharp, labels)
    rest = ~np.isin(sample.labels, against)  # labels of classes that are contradicted as a whole give no gain
    models = models_of(sample, sharp, mild, labels, rest, known)
    name = selected(models.facts, AT)
    by_labels = replace(by_labels, rates=models.rates, contradictions=against)
    if name in (LABELS, MILD):
        loose = fitted(sample, LOOSE)
        by_labels = replace(by_labels, rivals=(loose,) if _gain(loose, labels, rest) >= GAIN_LOOSE else ())
    # "labels": the features may still show clusters that the label-free sources confirm
    if name == LABELS:
        clusters = _clusters_alone(sample, labels)
        return by_labels if clusters is None else _by_clusters(clusters, agreement, against)
    # Any other hypothesis: the labels of classes that are contradicted as a whole are kept
    chosen = models.fitted[name] if name == TEMPERED else refitted(sample, models.fitted[name])
    against = np.union1d(against, contradicted(sample, chosen, labels))
    if chosen.fit.rate > WHOLESALE and labels.fit.rate < chosen.fit.rate - 0.25:
        return replace(by_labels, contradictions=against)
    kept = np.isin(sample.labels, against)[:, None]
    return replace(
        by_labels,
        hypothesis=chosen,
        posterior=np.where(kept, labels.fit.posterior, chosen.fit.posterior),
        contradictions=against,
        proven=proven or is_material(sample, name, models.facts) or is_proven(sample, first, chosen, known),
    )


def from_labels(sample: Sample) -> tuple[Hypothesis, Hypothesis]:
    """Return two "labels" hypotheses: with class means of the given labels, and refitted to its own posterior."""
    first = fitted(sample, hypotheses.LABELS, rounds=0)
    labels = refitted(sample, first)
    if not sample.unseen and first.fit.rate > MANY:
        for _ in range(MORE_ROUNDS):
            labels = refitted(sample, labels)
    return first, labels


def _is_plain(sample: Sample, first: Hypothesis, labels: Hypothesis, agreement: float | None) -> bool:
    """Return whether wrong labels need no likelihood-ratio test.

    With label-free sources, they must either agree well with the image prediction while "labels" finds a material share
    of wrong labels, or agree with the image prediction much more often than with the labels. Without label-free
    sources, classes must have enough images, the image prediction must be very reliable, and "labels" must find a
    material share of wrong labels.
    """
    least = min(first.fit.rate, labels.fit.rate)
    if not sample.unseen:
        return enough_images(sample) and least >= AT.material and known_by_images(sample, labels) >= KNOWN_WELL
    if agreement is None:
        return False
    return (agreement >= AGREE_WELL and least >= AT.material) or ahead_of_labels(sample, labels) >= AHEAD


def _clusters_alone(sample: Sample, labels: Hypothesis) -> Hypothesis | None:
    """Return the clusters that the features alone show, if the label-free sources confirm them; else None."""
    if sample.centered is None:
        return None
    alone = replace(sample, unseen={})
    clusters = clusters_of(alone, *from_labels(alone))
    return clusters if clusters is not None and is_confirmed(sample, labels, clusters) else None


def _by_clusters(clusters: Hypothesis, agreement: float | None, against: Ints) -> Choice:
    return Choice(clusters, clusters.fit.posterior, against, agreement, clusters.fit.rate, True)


def sharp_of(sample: Sample) -> Hypothesis:
    """Fit the sharp hypothesis with both class priors, and return the fit with the higher likelihood.

    The priors are the shares of the labels, and equal shares. Reason: structured noise changes the shares of the
    labels. Zero-shot predictions that are balanced to these shares would confirm the mistakes.
    """
    return max(
        (fitted(sample, replace(hypotheses.SHARP, even=even)) for even in (False, True)), key=lambda h: h.log_likelihood
    )


@dataclass(frozen=True)
class Models:
    """The hypotheses that start from the label-free sources, and what the selection reads about all hypotheses."""

    fitted: dict[str, Hypothesis]
    facts: Facts

    @property
    def rates(self) -> tuple[float, ...]:
        """Return the noise rates of the hypotheses whose gain is at least 0, or -DOUBT if their mistakes are unseen."""
        facts = self.facts
        return tuple(
            facts.rate[name] for name in self.fitted if facts.gain[name] >= (-DOUBT if facts.unseen(name, AT) else 0)
        )


def models_of(
    sample: Sample, sharp: Hypothesis, mild: Hypothesis, labels: Hypothesis, rest: Bools, known: float
) -> Models:
    """Fit the hypotheses that start from the label-free sources.

    `rest` (N,) marks the labels that count for the gain of a hypothesis. `known` is the reliability of the label-free
    sources.
    """
    models = {
        SHARP: sharp,
        TEMPERED: fitted(sample, replace(hypotheses.TEMPERED, even=sharp.kind.even), rounds=2),
        MILD: mild,
    }
    inside = inside_of(sample, labels)
    every = {LABELS: labels, **models}
    facts = Facts(
        agreement=known,
        chance=above_chance(sample),
        gain={name: _gain(model, labels, rest) for name, model in models.items()},
        rate={name: model.fit.rate for name, model in every.items()},
        wrong={name: wrong_share(sample, model, inside) for name, model in every.items()},
    )
    return Models(models, facts)


def is_material(sample: Sample, name: str, facts: Facts) -> bool:
    """Return whether structured noise finds enough more wrong labels than "labels" that no other proof is required."""
    return (
        name in (SHARP, TEMPERED)
        and facts.agreement >= (AT.agree if enough_images(sample) else AGREE_FEW)
        and facts.wrong[name] - facts.wrong[LABELS] >= AT.material
    )


def _gain(hypothesis: Hypothesis, labels: Hypothesis, rest: Bools) -> float:
    """Return the log-likelihood of the labels marked by `rest` (N,), minus that under `labels`, divided by N."""
    gain = hypothesis.fit.log_likelihoods - labels.fit.log_likelihoods
    return float(gain[rest].sum(dtype=np.float64)) / len(rest)
