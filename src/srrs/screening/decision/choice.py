"""The hypotheses about the labels are fitted, and one of them decides (`selection`).

Where the model contradicts nearly all labels, in all classes or in one, the data cannot tell a pattern of wrong labels
from class vectors that do not know the classes: the labels are kept, and the report says so.
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
"""Agreement of zero-shot prediction and images from which wrong labels need no further proof."""
AGREE_FEW = 0.7
"""Agreement from which structured mistakes need no further proof where classes have few images."""
DOUBT = 0.1
"""Loss in log-likelihood per label up to which the range of the noise rate holds that of unseen mistakes."""
GAIN_LOOSE = 0.075
"""Least gain in log-likelihood per label of structured noise from the labels on to enter the ranking."""
AHEAD = 0.25
"""Share of images by which two sources must agree more often with each other than with the labels to prove noise."""
MANY, MORE_ROUNDS = 0.35, 2
"""Above this rate, the images alone are fitted some more rounds: their class means were made of wrong labels."""


@dataclass(frozen=True)
class Choice:
    """The chosen hypothesis, and where it contradicts the model."""

    hypothesis: Hypothesis
    posterior: Floats
    """(N, K) of the sample: of the chosen hypothesis, or for contradicting classes of the "labels" hypothesis."""
    contradictions: Ints
    """Classes whose labels the model contradicts wholesale."""
    agreement: float | None
    """Share of images where zero-shot prediction and images alone predict the same class; None without both."""
    first_rate: float
    """Noise rate of the "labels" hypothesis before any label was doubted."""
    proven: bool
    """Whether wrong labels explain the given labels so much better than none that labels may change."""
    rivals: tuple[Hypothesis, ...] = ()
    """Further hypotheses that enter the ranking."""
    rates: tuple[float, ...] = ()
    """Noise rates of all hypotheses under which the labels are about as likely as under the "labels" hypothesis."""
    ignored: bool = False
    """Whether the unseen sources were left out, as they agree with the images no better than by chance."""


def choose(sample: Sample, trust: Trust) -> Choice:
    """Fit the hypotheses that the sources allow, and choose one."""
    first, labels = from_labels(sample)
    agreement = agreement_of(sample, labels)
    if trust == "auto" and is_useless(sample, labels):
        return replace(choose(replace(sample, unseen={}), trust), agreement=agreement, ignored=True)
    none = np.zeros(0, np.int64)
    mild = fitted(sample, hypotheses.MILD) if sample.unseen else None
    known = None if mild is None else reliability_of(sample, mild)
    proven = _is_plain(sample, first, labels, agreement) or is_proven(sample, first, labels, known)
    by_labels = Choice(labels, labels.fit.posterior, none, agreement, first.fit.rate, proven)
    if trust == "labels":
        return by_labels
    if mild is None or known is None:
        clusters = clusters_of(sample, first, labels)
        return by_labels if clusters is None else _by_clusters(clusters, agreement, none)
    sharp = sharp_of(sample)
    if trust == "model":
        sure = refitted(sample, sharp)
        return replace(by_labels, hypothesis=sure, posterior=sure.fit.posterior, proven=True)
    against = contradicted(sample, sharp, labels)
    rest = ~np.isin(sample.labels, against)  # what the model explains by contradicting whole classes does not count
    models = models_of(sample, sharp, mild, labels, rest, known)
    name = selected(models.facts, AT)
    by_labels = replace(by_labels, rates=models.rates, contradictions=against)
    if name in (LABELS, MILD):
        loose = fitted(sample, LOOSE)
        by_labels = replace(by_labels, rivals=(loose,) if _gain(loose, labels, rest) >= GAIN_LOOSE else ())
    if name == LABELS:
        clusters = _clusters_alone(sample, labels)
        return by_labels if clusters is None else _by_clusters(clusters, agreement, against)
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
    """Return the "labels" hypothesis before and after labels are doubted."""
    first = fitted(sample, hypotheses.LABELS, rounds=0)
    labels = refitted(sample, first)
    if not sample.unseen and first.fit.rate > MANY:
        for _ in range(MORE_ROUNDS):
            labels = refitted(sample, labels)
    return first, labels


def _is_plain(sample: Sample, first: Hypothesis, labels: Hypothesis, agreement: float | None) -> bool:
    """Whether images that are nearly always right, or sources that agree with each other, leave no doubt of noise."""
    least = min(first.fit.rate, labels.fit.rate)
    if not sample.unseen:
        return enough_images(sample) and least >= AT.material and known_by_images(sample, labels) >= KNOWN_WELL
    if agreement is None:
        return False
    return (agreement >= AGREE_WELL and least >= AT.material) or ahead_of_labels(sample, labels) >= AHEAD


def _clusters_alone(sample: Sample, labels: Hypothesis) -> Hypothesis | None:
    """Return the clusters that the images alone show, if the model agrees more with them than with the labels."""
    if sample.centered is None:
        return None
    alone = replace(sample, unseen={})
    clusters = clusters_of(alone, *from_labels(alone))
    return clusters if clusters is not None and is_confirmed(sample, labels, clusters) else None


def _by_clusters(clusters: Hypothesis, agreement: float | None, against: Ints) -> Choice:
    return Choice(clusters, clusters.fit.posterior, against, agreement, clusters.fit.rate, True)


def sharp_of(sample: Sample) -> Hypothesis:
    """Fit structured noise under both class priors, the label shares and equal classes, and return the likelier one.

    Structured noise moves label shares: balanced to them, zero-shot prediction would confirm the mistakes.
    """
    return max(
        (fitted(sample, replace(hypotheses.SHARP, even=even)) for even in (False, True)), key=lambda h: h.log_likelihood
    )


@dataclass(frozen=True)
class Models:
    """The hypotheses that start from the model, and what is known about them and the "labels" hypothesis."""

    fitted: dict[str, Hypothesis]
    facts: Facts

    @property
    def rates(self) -> tuple[float, ...]:
        """Noise rates of those under which the labels are as likely as under "labels", or nearly so."""
        facts = self.facts
        return tuple(
            facts.rate[name] for name in self.fitted if facts.gain[name] >= (-DOUBT if facts.unseen(name, AT) else 0)
        )


def models_of(
    sample: Sample, sharp: Hypothesis, mild: Hypothesis, labels: Hypothesis, rest: Bools, known: float
) -> Models:
    """Fit the hypotheses that start from the model; what they gain counts for the `rest` (N,) of the labels.

    `known` is how well the unseen sources know the classes.
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
    """Whether structured noise finds so many more wrong labels that they need no further proof."""
    return (
        name in (SHARP, TEMPERED)
        and facts.agreement >= (AT.agree if enough_images(sample) else AGREE_FEW)
        and facts.wrong[name] - facts.wrong[LABELS] >= AT.material
    )


def _gain(hypothesis: Hypothesis, labels: Hypothesis, rest: Bools) -> float:
    """Return the gain in log-likelihood per label, over the `rest` (N,) of the labels."""
    gain = hypothesis.fit.log_likelihoods - labels.fit.log_likelihoods
    return float(gain[rest].sum(dtype=np.float64)) / len(rest)
