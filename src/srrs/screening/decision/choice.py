"""Which hypothesis about the labels decides.

The "labels" hypothesis, of nearly uniform noise, is chosen unless a "model" hypothesis of structured noise makes the
given labels so much likelier that its further changes pay. How much likelier depends on how well zero-shot prediction
and the images alone agree, an estimate of the model's reliability that no label enters: where they agree, mistakes
between similar classes differ from hard images; where they do not, structure is easily made up.

Where the model contradicts nearly all labels, in all classes or in one, the data cannot tell a pattern of wrong labels
from class vectors that do not know the classes: the labels are kept, and the report says so.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from srrs.screening.decision.agreement import (
    WHOLESALE,
    above_chance,
    agreement_of,
    contradicted,
    inside_of,
    is_useless,
    known_by_images,
    reliability_of,
    wrong_share,
)
from srrs.screening.decision.clusters import KNOWN_WELL, clusters_of, enough_images
from srrs.screening.decision.hypotheses import (
    FREE,
    LABELS,
    LOOSE,
    MILD,
    SHARP,
    TEMPERED,
    Hypothesis,
    Sample,
    fitted,
    refitted,
)
from srrs.screening.decision.proof import is_proven

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
Bools = NDArray[np.bool_]
Trust = Literal["auto", "labels", "model"]

AGREE, AGREE_WELL = 0.55, 0.9
"""Agreement of zero-shot prediction and images from which a sharp hypothesis is considered, and from which its mistakes
need no proof."""
GAIN, GAIN_TEMPERED = 0.06, 0.1
"""Least gain in log-likelihood per label of a sharp and of a tempered hypothesis of structured noise."""
UNSEEN = 0.25
"""Mistakes are unseen by the "labels" hypothesis if its noise rate is at most this share of theirs."""
COST, COST_FROM = 2.0, 0.4
"""Log-likelihood that each unseen mistake of a sharp hypothesis may cost, per unit of agreement above COST_FROM."""
DOUBT = 0.1
"""Loss in log-likelihood per label up to which the range of the noise rate holds that of unseen mistakes."""
MOST_RANDOM = 0.4
"""Noise rate of the "labels" hypothesis above which a tempered one is not chosen: random noise is seen by both."""
GAIN_LOOSE = 0.13
"""Least gain in log-likelihood per label of structured noise from the labels on to enter the ranking."""
MATERIAL, MOST = 0.05, 0.5
"""Least noise rates that are proven by two sources that agree well, and by two that agree."""
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
    """Noise rates of all hypotheses under which the labels are as likely as under the "labels" hypothesis."""
    ignored: bool = False
    """Whether the unseen sources were left out, as they agree with the images no better than by chance."""


def choose(sample: Sample, trust: Trust) -> Choice:
    """Fit the hypotheses that the sources allow, and choose one."""
    first, labels = _from_labels(sample)
    agreement = agreement_of(sample, labels)
    if trust == "auto" and is_useless(sample, labels):
        return replace(choose(replace(sample, unseen={}), trust), agreement=agreement, ignored=True)
    none = np.zeros(0, np.int64)
    proven = _is_plain(sample, first, labels, agreement) or is_proven(sample, first, labels)
    by_labels = Choice(labels, labels.fit.posterior, none, agreement, first.fit.rate, proven)
    if trust == "labels":
        return by_labels
    if not sample.unseen:
        clusters = clusters_of(sample, first, labels)
        return by_labels if clusters is None else _by_clusters(clusters, agreement, none)
    free = _free(sample)
    if trust == "model":
        sure = refitted(sample, free)
        return replace(by_labels, hypothesis=sure, posterior=sure.fit.posterior, proven=True)
    against = contradicted(sample, free, labels)
    mild = fitted(sample, MILD)
    known = reliability_of(sample, mild)
    inside = inside_of(sample, labels)
    chosen, rivals, rates = _chosen(sample, free, mild, labels, against, known, inside)
    by_labels = replace(by_labels, rivals=rivals, rates=rates, contradictions=against)
    if chosen is labels:
        clusters = _clusters_alone(sample)
        return by_labels if clusters is None else _by_clusters(clusters, agreement, against)
    against = np.union1d(against, contradicted(sample, chosen, labels))
    if chosen.fit.rate > WHOLESALE and labels.fit.rate < chosen.fit.rate - 0.25:
        return replace(by_labels, contradictions=against)
    kept = np.isin(sample.labels, against)[:, None]
    return replace(
        by_labels,
        hypothesis=chosen,
        posterior=np.where(kept, labels.fit.posterior, chosen.fit.posterior),
        contradictions=against,
        proven=proven or _is_material(sample, chosen, labels, known, inside) or is_proven(sample, first, chosen),
    )


def _from_labels(sample: Sample) -> tuple[Hypothesis, Hypothesis]:
    """Return the "labels" hypothesis before and after labels are doubted."""
    first = fitted(sample, LABELS, rounds=0)
    labels = refitted(sample, first)
    if not sample.unseen and first.fit.rate > MANY:
        for _ in range(MORE_ROUNDS):
            labels = refitted(sample, labels)
    return first, labels


def _is_plain(sample: Sample, first: Hypothesis, labels: Hypothesis, agreement: float | None) -> bool:
    """Whether sources that agree with each other, or images that are nearly always right, leave no doubt of noise."""
    least = min(first.fit.rate, labels.fit.rate)
    if not sample.unseen:
        return enough_images(sample) and least >= MATERIAL and known_by_images(sample, labels) >= KNOWN_WELL
    if agreement is None:
        return False
    return (agreement >= AGREE and least >= MOST) or (agreement >= AGREE_WELL and least >= MATERIAL)


def _clusters_alone(sample: Sample) -> Hypothesis | None:
    """Return what the images alone show, and not together with the model; None where they do not."""
    if sample.centered is None:
        return None
    alone = replace(sample, unseen={})
    return clusters_of(alone, *_from_labels(alone))


def _by_clusters(clusters: Hypothesis, agreement: float | None, against: Ints) -> Choice:
    return Choice(clusters, clusters.fit.posterior, against, agreement, clusters.fit.rate, True)


def _free(sample: Sample) -> Hypothesis:
    """Fit structured noise under both class priors, the label shares and equal classes, and return the likelier one.

    Structured noise moves label shares: balanced to them, zero-shot prediction would confirm the mistakes.
    """
    return max((fitted(sample, replace(SHARP, even=even)) for even in (False, True)), key=lambda h: h.log_likelihood)


def _chosen(
    sample: Sample,
    free: Hypothesis,
    mild: Hypothesis,
    labels: Hypothesis,
    against: Ints,
    known: float,
    inside: Floats,
) -> tuple[Hypothesis, tuple[Hypothesis, ...], tuple[float, ...]]:
    """Return the chosen hypothesis, those that rank beside it, and the noise rates of all that are as likely."""
    tempered = fitted(sample, replace(TEMPERED, even=free.kind.even), rounds=2)
    rest = ~np.isin(sample.labels, against)  # what the model explains by contradicting whole classes does not count
    gain = {rival.kind: _gain(rival, labels, rest) for rival in (free, tempered, mild)}
    found = wrong_share(sample, labels, inside)
    unseen = {rival.kind: _unseen(wrong_share(sample, rival, inside), found) for rival in (free, tempered, mild)}
    rates = tuple(
        rival.fit.rate for rival in (free, tempered, mild) if gain[rival.kind] >= (-DOUBT if unseen[rival.kind] else 0)
    )
    if _pays(gain[free.kind], known, unseen[free.kind]) and gain[free.kind] >= gain[tempered.kind]:
        return refitted(sample, free), (), rates
    knows = known >= above_chance(sample)
    is_random = labels.fit.rate >= min(MOST_RANDOM, tempered.fit.rate)
    least = 0.0 if unseen[tempered.kind] else GAIN_TEMPERED
    if knows and gain[tempered.kind] >= least and not is_random:
        return tempered, (), rates
    loose = fitted(sample, LOOSE)
    rivals = (loose,) if _gain(loose, labels, rest) >= GAIN_LOOSE else ()
    if knows and gain[mild.kind] >= 0:
        return refitted(sample, mild), rivals, rates
    return labels, rivals, rates


def _pays(gain: float, agreement: float, unseen: float) -> bool:
    """Whether a sharp hypothesis of structured noise may be chosen.

    Where the images of a class share their mistakes, the labels are likely without any mistake. So where the model is
    reliable, mistakes that the "labels" hypothesis does not see may cost likelihood.
    """
    if agreement < AGREE:
        return False
    return gain >= GAIN or (unseen > 0 and gain >= -COST * (agreement - COST_FROM) * unseen)


def _unseen(wrong: float, found: float) -> float:
    """Return how many more labels are wrong than by the "labels" hypothesis; 0 if that finds many of them, too."""
    return wrong - found if wrong - found >= MATERIAL and found <= UNSEEN * wrong else 0.0


def _is_material(sample: Sample, chosen: Hypothesis, labels: Hypothesis, known: float, inside: Floats) -> bool:
    """Whether structured noise finds so many more wrong labels that they need no further proof."""
    more = wrong_share(sample, chosen, inside) - wrong_share(sample, labels, inside)
    return chosen.kind.strength == FREE and known >= AGREE and more >= MATERIAL


def _gain(hypothesis: Hypothesis, labels: Hypothesis, rest: Bools) -> float:
    """Return the gain in log-likelihood per label, over the `rest` (N,) of the labels."""
    gain = hypothesis.fit.log_likelihoods - labels.fit.log_likelihoods
    return float(gain[rest].sum(dtype=np.float64)) / len(rest)
