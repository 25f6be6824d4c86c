"""The default decision: which labels are wrong, what they should be, and how much of it to believe.

1. Read the sources: balanced zero-shot log-probabilities, matcher, out-of-fold discriminant of the images, predictions.
2. Fit two stories of how the labels came about (`stories`), with the scale of every source and the transition matrix
   estimated from the data, and take the one under which the given labels are more likely.
3. Read the posterior of every image, its groups, the rectified label and the noise rate off the story.

A fixed classifier times one annotator's confusion matrix by EM is Raykar et al. (2010) and MBEM (Khetan et al. 2018);
class means of images that lean on a text prior are TransCLIP's (Zanella et al. 2024).

N images, C classes, D feature size, K candidate classes per image.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from srrs.core.keyed import Keys
from srrs.records import Group, MatchScores, NoiseEstimate
from srrs.screening.decision import discriminant
from srrs.screening.decision.evidence import Inputs, blocks
from srrs.screening.decision.prepare import Reader, prepare
from srrs.screening.decision.report import report_of
from srrs.screening.decision.scales import pooled
from srrs.screening.decision.stories import IMAGES, UNIFORM, Sample, Story, tell
from srrs.screening.decision.transition import fit_matrix, likelihoods
from srrs.screening.decision.verdicts import Verdicts

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
Trust = Literal["auto", "labels", "model"]

CERTAIN = 0.8
"""A label is clean or noisy when the posterior is at least this sure, and ambiguous between."""
ODDS = 4.0
"""A label changes where another class is this many times as likely as the given one."""
SOFT, SHARP = 0.6, 1.5
"""Powers of the evidence between which the noise rate is given as a range."""
MODEL_ERROR = 0.02
"""How far the rate is off beyond that."""
WHOLESALE = 0.75
"""Above this rate, the model's story contradicts the labels wholesale: by default the labels are believed."""


def decide(
    labels: Ints,
    *,
    classes: int,
    features: Floats | None = None,
    zero_shot: Floats | None = None,
    match: MatchScores | Floats | None = None,
    pred_probs: Floats | None = None,
    keys: Keys | None = None,
    trust: Trust = "auto",
    seed: int = 0,
) -> Verdicts:
    """Decide about every label, from any of the sources of evidence.

    Parameters
    ----------
    labels : (N,) given labels, 0 to classes - 1.
    classes : C.
    features : (N, D) image features; may be memory-mapped and float16.
    zero_shot : (N, C) logits or log-probabilities of a model that never saw the labels.
    match : a matcher's scores 0..1 as a function of rows and classes, or its log odds (N, C).
    pred_probs : (N, C) out-of-fold probabilities of a model that learned from the labels.
    keys : (N,) content keys, by which folds and draws are made; from the first source where None.
    trust : whose word to take where model and labels contradict each other wholesale.
    seed : of folds and draws.

    Raises
    ------
    ValueError
        Where shapes do not fit, a label is out of range, or no source is given.
    """
    inputs = Inputs.of(labels, classes, features, zero_shot, match, pred_probs, keys, seed)
    rows = inputs.drawn()
    reader = prepare(inputs, rows)
    sample = reader.read_all(rows)
    story = chosen(sample, trust)
    posterior = _posterior(reader, rows, sample, story)
    return _verdicts(inputs, sample, story, posterior)


def chosen(sample: Sample, trust: Trust) -> Story:
    """Fit the stories that the sources allow, and return the one to believe."""
    told = {}
    if sample.unseen and trust != "labels":
        told["model"] = tell(sample, "model")
    if sample.learned or sample.white is not None or not sample.unseen or trust == "labels":
        told["labels"] = tell(sample, "labels")
    if trust in told:
        return told[trust]
    best = max(told.values(), key=lambda story: story.log_likelihood)
    if best.name == "model" and best.fit.rate > WHOLESALE and "labels" in told:
        return told["labels"]
    return best


def _posterior(reader: Reader, rows: Ints, sample: Sample, story: Story) -> Floats:
    """Return the posterior (N, C) of all images: that of the fit for its sample, the model's for the others."""
    inputs = reader.inputs
    found = np.zeros((len(inputs.labels), inputs.classes), np.float32)
    found[rows[:, None], sample.index] = story.fit.posterior
    rest = np.ones(len(found), bool)
    rest[rows] = False
    others = inputs.order[rest[inputs.order]]
    for part in blocks(len(others), inputs.classes):
        here = reader.read(others[part])
        found[others[part][:, None], here.index] = _predicted(here, story)
    return found


def _predicted(sample: Sample, story: Story) -> Floats:
    """Return the posterior (n, K) of images that the story was not fitted on."""
    scores = {**sample.unseen, **sample.learned}
    if story.means is not None and sample.white is not None:
        scores[IMAGES] = discriminant.scores(sample.white, story.means, sample.fold, sample.index)
    evidence = likelihoods(pooled([scores[name] for name in story.scales], np.array(list(story.scales.values()))))
    joint = evidence * story.fit.matrix[sample.index, sample.labels[:, None]].astype(np.float32)
    return np.asarray(joint / np.maximum(joint.sum(1, keepdims=True), np.finfo(np.float32).tiny))


def _verdicts(inputs: Inputs, sample: Sample, story: Story, posterior: Floats) -> Verdicts:
    labels, n = inputs.labels, len(inputs.labels)
    p_clean = posterior[np.arange(n), labels].astype(np.float64)
    group = np.full(n, Group.AMBIGUOUS, np.int8)
    group[p_clean >= CERTAIN] = Group.CLEAN
    group[p_clean < 1 - CERTAIN] = Group.NOISY
    best = np.asarray(posterior.argmax(1), np.int64)
    pays = posterior[np.arange(n), best] > ODDS * p_clean
    target = np.where(pays, best, labels)
    return Verdicts(
        posterior=posterior,
        p_outside=np.zeros(n),
        p_clean=p_clean,
        quality=p_clean,
        group=group,
        target=target,
        noise=_noise(sample, story),
        transition=story.fit.matrix,
        report=report_of(sample, story, contradicting(story)),
    )


def contradicting(story: Story) -> Ints:
    """Classes whose images mostly carry one other label, according to the story."""
    matrix = np.array(story.fit.matrix)
    own = matrix.diagonal().copy()
    np.fill_diagonal(matrix, 0)
    return np.flatnonzero((matrix.max(1) > own) & (matrix.max(1) > 0.5))


def _noise(sample: Sample, story: Story) -> NoiseEstimate:
    """Return the noise rate, and a range from soft to sharp evidence with the sampling error of the labels."""
    rates = [story.fit.rate]
    for power in (SOFT, SHARP):
        evidence = likelihoods(power * story.logits)
        start = float(np.clip(story.fit.rate, 0.01, 0.9))
        again = fit_matrix(evidence, sample.index, sample.labels, sample.classes, UNIFORM, start=start, iterations=15)
        rates.append(again.rate)
    low, high = min(rates), max(rates)
    n = len(sample.labels)
    low -= 1.645 * float(np.sqrt(low * (1 - low) / n)) + MODEL_ERROR
    high += 1.645 * float(np.sqrt(high * (1 - high) / n)) + MODEL_ERROR
    return NoiseEstimate(story.fit.rate, max(0.0, low), min(1.0, high))
