"""The default decision: which labels are wrong, what they should be, and how reliable these answers are.

1. Read the sources: balanced zero-shot log-probabilities, matcher, out-of-fold discriminant of the features, given
   predictions.
2. Fit several hypotheses about how the given labels follow from the true classes (`hypotheses`). Each fit estimates the
   scale of every source and the transition matrix. Choose one hypothesis (`choice`).
3. Compute the posterior of every image, the groups, the rectified labels and the noise rate from the chosen hypothesis.

Raykar et al. (2010) and MBEM (Khetan et al. 2018) multiply a classifier by the confusion matrix of one annotator, and
fit by EM. TransCLIP (Zanella et al. 2024) fits class means of image features to a text prior.

N images, n of them at given positions, C classes, D feature size, K candidate classes per image, M hypotheses that
rank.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from srrs.core.keyed import Keys
from srrs.core.many import class_probabilities
from srrs.records import Group, MatchScores, NoiseEstimate
from srrs.screening.decision import discriminant
from srrs.screening.decision.agreement import is_uninformed
from srrs.screening.decision.choice import Choice, Trust, choose
from srrs.screening.decision.evidence import Inputs, blocks
from srrs.screening.decision.hypotheses import IMAGES, UNIFORM, Hypothesis, Sample
from srrs.screening.decision.outside import Fitting, Mixture, fit_fitting, fit_mixture
from srrs.screening.decision.prepare import PREDICTIONS, Reader, prepare
from srrs.screening.decision.ranking import log_odds, quality_of
from srrs.screening.decision.report import report_of
from srrs.screening.decision.scales import pooled
from srrs.screening.decision.transition import fit_matrix
from srrs.screening.decision.verdicts import Verdicts

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

CERTAIN = 0.8
"""A label is clean if its probability is at least this value, noisy if it is below 1 minus this value, and ambiguous
otherwise."""
CAUTION = 16.0
"""A label changes if another class is more than 1 + CAUTION C / N times as likely as the given class. With few images
per class, the factor is larger, because the odds are uncertain."""
OUTSIDE = 0.7
"""Least probability to show none of the classes with which an image is called outside."""
SOFT, SHARP = 0.6, 1.5
"""The range of the noise rate contains the rates that follow from the evidence to these two powers."""
MODEL_ERROR = 0.02
"""Width that is added to each side of the range of the noise rate, besides the sampling error."""


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
    features : (N, D) image features, which may be memory-mapped and float16.
    zero_shot : (N, C) logits or log-probabilities of a model that did not learn from the labels.
    match : function from positions (n,) and classes (n,) to the matcher's scores (n,) from 0 to 1, or log odds (N, C).
    pred_probs : (N, C) out-of-fold probabilities of a model that learned from the labels.
    keys : (N,) content keys, on which folds and draws depend; by default a digest of each row of `features`,
        `zero_shot` or `pred_probs` (the first that is given).
    trust : which hypothesis decides: "auto" chooses by the data, "labels" takes the hypothesis that starts from the
        given labels, "model" the sharp hypothesis that starts from `zero_shot` and `match`.
    seed : seed of folds and draws.

    Raises
    ------
    ValueError
        The shapes do not fit, there are no labels, a label is out of range, or none of `features`, `zero_shot` and
        `pred_probs` is given.
    """
    inputs = Inputs.of(labels, classes, features, zero_shot, match, pred_probs, keys, seed)
    rows = inputs.drawn()
    reader = prepare(inputs, rows)
    sample = reader.read_all(rows)
    choice = choose(sample, trust)
    fitting = fit_fitting(choice.hypothesis.scores, sample.index, classes)
    mixture = fit_mixture(
        fitting(choice.hypothesis.scores, sample.index), choice.posterior, predictions_alone=_alone(choice.hypothesis)
    )
    return _verdicts(inputs, sample, choice, _found(reader, rows, sample, choice, fitting), mixture)


@dataclass(frozen=True)
class Found:
    """The values of every image from which the verdicts are computed."""

    posterior: Floats
    """(N, C) posterior of the true class."""
    best_fit: Floats
    """(N,) fit of the best-fitting class (see `outside`)."""
    ranked: Floats
    """(N, M, 2) log odds and fit of the given class, under each of the M hypotheses that take part in the ranking."""


def _found(reader: Reader, rows: Ints, sample: Sample, choice: Choice, fitting: Fitting) -> Found:
    """Return the values of all images under the hypotheses.

    The images at the positions `rows` are those of `sample`, and keep the posteriors of the fit. The posteriors of all
    other images are predicted by the fitted hypotheses, in blocks.
    """
    inputs, n = reader.inputs, len(reader.inputs.labels)
    hypotheses = (choice.hypothesis, *choice.rivals)
    fittings = [fitting, *(fit_fitting(rival.scores, sample.index, sample.classes) for rival in choice.rivals)]
    found = Found(
        class_probabilities(inputs.labels, inputs.classes),
        np.zeros(n, np.float32),
        np.zeros((n, len(hypotheses), 2), np.float32),
    )

    def put(where: Ints, here: Sample, number: int, scores: Mapping[str, Floats], posterior: Floats) -> None:
        fit = fittings[number](scores, here.index)
        found.ranked[where, number] = np.column_stack([log_odds(posterior, here.given), (fit * here.given).sum(1)])
        if number == 0:
            found.posterior[where[:, None], here.index] = posterior
            found.best_fit[where] = fit.max(1)

    put(rows, sample, 0, choice.hypothesis.scores, choice.posterior)
    for number, rival in enumerate(choice.rivals, 1):
        put(rows, sample, number, rival.scores, rival.fit.posterior)
    rest = np.ones(n, bool)
    rest[rows] = False
    others = inputs.order[rest[inputs.order]]
    for part in blocks(len(others), inputs.classes):
        here = reader.read(others[part])
        for number, hypothesis in enumerate(hypotheses):
            scores = _scores(here, hypothesis)
            put(others[part], here, number, scores, _predicted(here, hypothesis, scores))
    return found


def _scores(sample: Sample, hypothesis: Hypothesis) -> dict[str, Floats]:
    """Return the scores (n, K) or (n, K + 1) of each source for images on which the hypothesis was not fitted."""
    sample = sample.under(hypothesis.kind)
    scores = {**sample.unseen, **sample.learned}
    if hypothesis.means is not None and sample.centered is not None:
        scores[IMAGES] = discriminant.scores(sample.centered, hypothesis.means, sample.fold, sample.index)
    return {name: scores[name] for name in hypothesis.scales}


def _predicted(sample: Sample, hypothesis: Hypothesis, scores: Mapping[str, Floats]) -> Floats:
    """Return the posterior (n, K) of images on which the hypothesis was not fitted."""
    evidence = sample.likelihoods(pooled(list(scores.values()), np.array(list(hypothesis.scales.values()))))
    joint = evidence * hypothesis.fit.matrix[sample.index, sample.labels[:, None]].astype(np.float32)
    return np.asarray(joint / np.maximum(joint.sum(1, keepdims=True), np.finfo(np.float32).tiny))


def _verdicts(inputs: Inputs, sample: Sample, choice: Choice, found: Found, mixture: Mixture) -> Verdicts:
    labels, n = inputs.labels, len(inputs.labels)
    p_outside = mixture(found.best_fit)
    of_given = found.posterior[np.arange(n), labels].astype(np.float64)
    p_clean = (1 - p_outside) * of_given
    group = np.full(n, Group.AMBIGUOUS, np.int8)
    group[p_clean >= CERTAIN] = Group.CLEAN
    group[p_clean < 1 - CERTAIN] = Group.NOISY
    is_outside = p_outside >= OUTSIDE
    group[is_outside] = Group.OUTSIDE
    best = np.asarray(found.posterior.argmax(1), np.int64)
    odds = 1 + CAUTION * inputs.classes / n
    pays = (found.posterior[np.arange(n), best] > odds * of_given) & ~is_outside & choice.proven
    uninformed = is_uninformed(sample, choice.hypothesis)  # then every noise rate is possible
    quality = quality_of(found.ranked, p_outside, predictions_alone=_alone(choice.hypothesis))
    return Verdicts(
        posterior=found.posterior,
        p_outside=p_outside,
        p_clean=p_clean,
        quality=quality,
        group=group,
        target=np.where(pays, best, labels),
        noise=NoiseEstimate(float(1 - p_clean.mean()), 0.0, 1.0)
        if uninformed
        else _noise(sample, choice, p_clean, mixture),
        transition=choice.hypothesis.fit.matrix,
        report=report_of(sample, choice, uninformed),
    )


def _alone(hypothesis: Hypothesis) -> bool:
    return list(hypothesis.scales) == [PREDICTIONS]


def _noise(sample: Sample, choice: Choice, p_clean: Floats, mixture: Mixture) -> NoiseEstimate:
    """Return the noise rate and its range.

    The range contains the rates with evidence of two powers and the rates of other plausible hypotheses
    (`Choice.rates`). It is widened by images of no class, the sampling error and `MODEL_ERROR`.
    """
    hypothesis = choice.hypothesis
    rates = [hypothesis.fit.rate, *choice.rates] + ([choice.first_rate] if hypothesis.name == "labels" else [])
    rate = float(1 - p_clean.mean())  # images of another class and images of no class
    if not sample.unseen:  # every source learned from the labels: the mean of the rates before and after the refit
        rate += (choice.first_rate - hypothesis.fit.rate) / 2
    for power in (SOFT, SHARP):
        evidence = sample.likelihoods(power * hypothesis.logits)
        start = float(np.clip(hypothesis.fit.rate, 0.01, 0.9))
        again = fit_matrix(evidence, sample.index, sample.labels, sample.classes, UNIFORM, start=start, iterations=15)
        rates.append(again.rate)
    # all labels of images of no class are wrong: half of their share is added to the lower end, all of it to the upper
    share = mixture.share * mixture.weight
    low, high = min(rates) + 0.5 * max(share, 0.0), min(max(rates) + max(share, 0.0), 1.0)
    n = len(sample.labels)
    low -= 1.645 * float(np.sqrt(low * (1 - low) / n)) + MODEL_ERROR
    high += 1.645 * float(np.sqrt(high * (1 - high) / n)) + MODEL_ERROR
    rate = min(max(rate, 0.0), 1.0)
    return NoiseEstimate(rate, min(max(0.0, low), rate), max(min(1.0, high), rate))
