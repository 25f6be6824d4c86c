"""Which story of the labels to believe.

The "labels" story, of nearly uniform noise, is believed unless a "model" story of structured noise explains the given
labels so much better that its additional changes pay. How much better it must be depends on how well zero-shot
prediction and the images alone agree, an estimate of the model's reliability that no label enters: where they agree,
mistakes between similar classes can be told from hard images; where they do not, structure is easily made up.

Where the model contradicts nearly all labels, in all classes or in one, the data cannot tell a pattern of wrong labels
from class vectors that do not know the classes: the labels are believed, and the report says so.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from srrs.screening.decision.scales import fit_scales, pooled
from srrs.screening.decision.stories import (
    CLUSTERS,
    IMAGES,
    LABELS,
    MILD,
    SHARP,
    TEMPERED,
    Sample,
    Story,
    continued,
    sharpened,
    tell,
)

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
Bools = NDArray[np.bool_]
Trust = Literal["auto", "labels", "model"]

AGREE, AGREE_WELL = 0.55, 0.9
"""Agreement of zero-shot prediction and images from which a structured story is considered, and easily believed."""
GAIN, GAIN_WELL = 0.06, -0.05
"""Least gain in log-likelihood per label of a sharp story of structured noise, at these agreements."""
GAIN_TEMPERED, GAIN_MILD = 0.1, 0.0
"""The same of a tempered story of structured noise and of a story of nearly uniform noise, at any agreement."""
MATERIAL = 0.05
"""Least difference in the noise rate for a story that explains the labels no better than the other."""
WHOLESALE = 0.85
"""Above this share of wrong labels, in all or in one class, the labels are believed unless they are found wrong by
the "labels" story too."""
POWERS = (1.0, 3.0)
"""Powers of the fitted scales from which a story that the images alone tell is fitted."""
KNOWN, KNOWN_WELL, GAIN_CLUSTERS, GAIN_ALONE = 0.85, 0.95, 0.03, 0.05
"""Share of images whose class the images tell, from which such a story is believed, and with any gain; least gain in
log-likelihood per label otherwise, and for a story that finds hardly more wrong labels."""
PROOF, EACH, ENOUGH = 2.5, 0.15, 7.5
"""Least gain in log-likelihood of wrong labels over none for labels to change: in all, and for each wrong one up to
so much."""
PROOF_LATER = 25.0
"""The same for a story that was fitted to its own posterior."""
KNOWS = 0.1
"""A source knows something of the classes if it agrees with another this far above chance, on the way to 1."""
MOST = 0.5
"""Least noise rate that is proven by two sources that agree."""
APART, LOSS = 0.95, -0.05
"""Least mean certainty of the images alone to believe that classes are clusters, and the most that this may cost in
log-likelihood per label."""
ENOUGH_IMAGES = 8
"""Least median of the images per class to believe what the images alone say: means of fewer follow their labels."""
NO_NOISE = 1e-4
"""Noise rate that counts as none."""
MANY, MORE_ROUNDS = 0.35, 2
"""Above this rate, the images alone are asked for some more rounds: their class means were made of wrong labels."""


@dataclass(frozen=True)
class Choice:
    """The believed story, and where it contradicts the model."""

    story: Story
    posterior: Floats
    """(N, K) of the sample: the believed story's, or for contradicting classes that of the "labels" story."""
    contradictions: Ints
    """Classes whose labels the model contradicts wholesale."""
    agreement: float | None
    """Share of images where zero-shot prediction and images alone predict the same class; None without both."""
    first_rate: float
    """Noise rate of the "labels" story before any label was doubted."""
    proven: bool
    """Whether wrong labels explain the given labels so much better than none that labels may change."""
    ignored: bool = False
    """Whether the unseen sources were left out, as they agree with the images no better than by chance."""


def choose(sample: Sample, trust: Trust) -> Choice:
    """Fit the stories that the sources allow, and choose one."""
    first = tell(sample, LABELS, rounds=0)
    labels = continued(sample, first)
    if not sample.unseen and first.fit.rate > MANY:
        for _ in range(MORE_ROUNDS):
            labels = continued(sample, labels)
    agreement, rate = agreement_of(sample, labels), first.fit.rate
    if trust == "auto" and agreement is not None and agreement < above_chance(sample):
        return replace(choose(replace(sample, unseen={}), trust), agreement=agreement, ignored=True)
    none, doubtless = np.zeros(0, np.int64), without_noise(sample, first)
    # model and images that agree with each other and not with most labels need no further proof
    least = min(rate, labels.fit.rate)
    plain = agreement is not None and (
        (agreement >= AGREE and least >= MOST) or (agreement >= AGREE_WELL and least >= MATERIAL)
    )
    told = Choice(labels, labels.fit.posterior, none, agreement, rate, plain or _proven(first, labels, doubtless))
    if trust == "labels":
        return told
    if not sample.unseen:
        clusters = clusters_of(sample, first, labels)
        if clusters is not None:
            return Choice(clusters, clusters.fit.posterior, none, agreement, clusters.fit.rate, True)
        # Images that tell the classes nearly always leave no room for hard images.
        plain = _enough(sample) and least >= MATERIAL and known_by_images(sample, labels) >= KNOWN_WELL
        return replace(told, proven=told.proven or plain)
    free = tell(sample, SHARP)
    if trust == "model":
        story = continued(sample, free)
        return Choice(story, story.fit.posterior, none, agreement, rate, True)
    story, against = _believed(sample, free, labels)
    if story is labels:
        # The images may tell what they and the model together do not.
        alone = choose(replace(sample, unseen={}), trust) if sample.white is not None else told
        if alone.story.kind == CLUSTERS:
            return replace(alone, agreement=agreement, contradictions=against)
        return replace(told, contradictions=against)
    against = np.union1d(against, contradicted(sample, story, labels))
    if story.fit.rate > WHOLESALE and labels.fit.rate < story.fit.rate - 0.25:
        return replace(told, contradictions=against)
    kept = np.isin(sample.labels, against)[:, None]
    posterior = np.where(kept, labels.fit.posterior, story.fit.posterior)
    structured = story.kind == SHARP and story.fit.rate - labels.fit.rate >= MATERIAL
    proven = told.proven or structured or story.log_likelihood - doubtless >= PROOF_LATER
    return Choice(story, posterior, against, agreement, rate, proven)


def clusters_of(sample: Sample, first: Story, labels: Story) -> Story | None:
    """The story of structured noise that the images alone tell, if it is believed; None without features.

    Classes that lie well apart are clusters, whatever their labels say. Classes that lie less apart must gain in
    log-likelihood, and the images must know them well: else the structure is that of images that look like another
    class.
    """
    if list(first.scores) != [IMAGES] or not _enough(sample):
        return None
    apart = tell(sample, CLUSTERS, rounds=4)
    if _are_clusters(sample, apart, labels):
        return apart
    best, most = None, 0.0
    for power in POWERS:
        story = sharpened(sample, first, power)
        gain = (story.log_likelihood - labels.log_likelihood) / len(sample.labels)
        more, known = story.fit.rate - labels.fit.rate, known_by_images(sample, story)
        pays = known >= KNOWN_WELL or (known >= KNOWN and gain >= GAIN_CLUSTERS)
        if pays and gain > most and (more >= MATERIAL or (more >= 0 and gain >= GAIN_ALONE)):
            best, most = story, gain
    return best


def _enough(sample: Sample) -> bool:
    """Whether most classes have enough images for what they say of each other."""
    return bool(np.median(np.bincount(sample.labels, minlength=sample.classes)) >= ENOUGH_IMAGES)


def known_by_images(sample: Sample, story: Story) -> float:
    """Share of images whose class the images alone tell, according to a story."""
    if IMAGES not in story.scores:
        return 0.0
    predicted = sample.predicted(story.scores[IMAGES])[:, None]
    return float(np.take_along_axis(story.fit.posterior, predicted, 1).mean())


def _are_clusters(sample: Sample, clusters: Story, labels: Story) -> bool:
    """Whether the classes lie so well apart that the images say which labels are wrong, and some are."""
    certainty = float(sample.likelihoods(clusters.logits).max(1).mean())
    gain = (clusters.log_likelihood - labels.log_likelihood) / len(sample.labels)
    return certainty >= APART and gain >= LOSS and clusters.fit.rate >= MATERIAL


def _believed(sample: Sample, free: Story, labels: Story) -> tuple[Story, Ints]:
    """Return the story to believe, and the classes that the model contradicts."""
    mild = tell(sample, MILD)
    against = contradicted(sample, free, labels)
    rest = ~np.isin(sample.labels, against)  # what the model explains by contradicting whole classes does not count
    known = _reliability(sample, mild)
    tempered = tell(sample, TEMPERED, rounds=2)
    by_tempered = _gain(tempered, labels, rest)
    if _pays(free, labels, rest, known) and _gain(free, labels, rest) >= by_tempered:
        return continued(sample, free), against
    if known >= above_chance(sample) and by_tempered >= GAIN_TEMPERED and labels.fit.rate < MOST:
        return tempered, against
    if known >= above_chance(sample) and _gain(mild, labels, rest) >= GAIN_MILD:
        return continued(sample, mild), against
    return labels, against


def _proven(first: Story, later: Story, without: float) -> bool:
    """Whether wrong labels explain the labels so much better than none that labels may change."""
    expected = first.fit.rate * len(first.fit.posterior)
    if later.log_likelihood - without >= PROOF_LATER:
        return True
    return first.log_likelihood - without >= PROOF + min(EACH * expected, ENOUGH)


def without_noise(sample: Sample, first: Story) -> float:
    """Return the log-likelihood of the given labels if none were wrong and all doubt were hard images."""
    other = NO_NOISE / max(sample.classes - 1, 1)
    transition = np.where(sample.given, 1 - NO_NOISE, other).astype(np.float32)
    sources = list(first.scores.values())
    scales, _ = fit_scales(sources, sample.given, sample.classes, transition=transition)
    joint = sample.likelihoods(pooled(sources, scales)) * transition
    return float(np.log(np.maximum(joint.sum(1), 1e-30)).sum(dtype=np.float64))


def agreement_of(sample: Sample, story: Story) -> float | None:
    """Share of images where the unseen sources and the images predict the same class; None without both."""
    if not sample.unseen or IMAGES not in story.scores:
        return None
    scales = np.array([max(story.scales[name], 1e-6) for name in sample.unseen])
    unseen = pooled([story.scores[name] for name in sample.unseen], scales)
    return float((sample.predicted(unseen) == sample.predicted(story.scores[IMAGES])).mean())


def contradicted(sample: Sample, story: Story, labels: Story) -> Ints:
    """Classes nearly all of whose labels `story` finds wrong, but not the `labels` story."""
    found = []
    for fitted in (story, labels):
        wrong = 1 - (fitted.fit.posterior * sample.given).sum(1)
        counts = np.bincount(sample.labels, minlength=sample.classes)
        found.append(np.bincount(sample.labels, wrong, sample.classes) / np.maximum(counts, 1))
    return np.flatnonzero((found[0] > WHOLESALE) & (found[1] < found[0] - 0.25))


def above_chance(sample: Sample) -> float:
    """Return the least agreement of a source that knows something of the classes."""
    chance = float(np.bincount(sample.labels, minlength=sample.classes).max()) / len(sample.labels)
    return chance + KNOWS * (1 - chance)


def _pays(free: Story, labels: Story, rest: Bools, agreement: float) -> bool:
    """Whether a structured story is believed."""
    gain, more = _gain(free, labels, rest), free.fit.rate - labels.fit.rate
    if agreement >= AGREE_WELL and more >= MATERIAL:
        return gain >= GAIN_WELL
    return agreement >= AGREE and gain >= GAIN


def _gain(story: Story, labels: Story, rest: Bools) -> float:
    """Gain in log-likelihood per label, over the `rest` (N,) of the labels."""
    gain = story.fit.log_likelihoods - labels.fit.log_likelihoods
    return float(gain[rest].sum(dtype=np.float64)) / len(rest)


def _reliability(sample: Sample, story: Story) -> float:
    """How well the unseen sources know the classes: their agreement with the images, or else with the posterior."""
    agreement = agreement_of(sample, story)
    if agreement is not None:
        return agreement
    scales = np.array([max(story.scales[name], 1e-6) for name in sample.unseen])
    predicted = sample.predicted(pooled([story.scores[name] for name in sample.unseen], scales))
    return float(np.take_along_axis(story.fit.posterior, predicted[:, None], 1).mean())
