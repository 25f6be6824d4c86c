"""Screening by a transition matrix, with evidence that does not depend on the sample's own label.

N samples, n of them at given positions, C classes, D feature size.
"""

from functools import partial

import numpy as np
import torch
from scipy.special import log_softmax
from torch import Tensor

from srrs.core.blocks import is_large, single
from srrs.core.keyed import folds
from srrs.records import Floats, Group, Ints, Keys, MatchScores, NoiseEstimate, Partition, Thresholds
from srrs.screening.common import of_given
from srrs.screening.streamed import Rows, streamed_transition
from srrs.screening.transition import Transition, fit_transition

CANDIDATES = 10
"""Number of classes that the matcher scores for each image, besides the given class."""
CERTAIN = 0.8
"""A label is clean if its posterior probability is at least this value, noisy if it is below 1 minus this value, and
ambiguous otherwise."""
MODEL_ERROR = 0.05
"""Error of the estimated rate, besides the sampling error. The error was smaller in nine of ten noise draws on the
development classes."""


def by_transition(
    labels: Ints,
    zero_shot: Floats,
    features: Floats,
    keys: Keys,
    *,
    match: MatchScores | None = None,
    temper: float = 0.3,
    matched: tuple[float, float] = (0.2, 0.2),
    visual: float = 3.0,
    shrink: float = 12.0,
    rounds: int = 3,
    fold_count: int = 5,
    prior: tuple[float, float] = (1.0, 1.0),
    seed: int = 0,
) -> Partition:
    """Fit a transition matrix and decide by the posterior of the true class.

    The evidence for the true class does not depend on the label of the sample itself. The evidence has three sources:
    the zero-shot prediction to a power below 1; the odds of an image-text matcher; and the similarity of the features
    to the class means of the *other folds*. A sample counts in each class mean with its posterior probability of that
    class. The class means are computed `rounds` times. Samples are divided into folds by their content keys. More than
    65,536 samples are processed in blocks (`srrs.screening.streamed`).

    Parameters
    ----------
    labels : (N,) given labels.
    zero_shot : (N, C) zero-shot probabilities.
    features : (N, D) image features.
    keys : (N,) content keys.
    match : function from positions (n,) and classes (n,) to matcher scores (n,) from 0 to 1; None without a matcher.
    temper : power of the zero-shot probabilities without a matcher.
    matched : with a matcher, the power of the zero-shot probabilities and the power of the matcher's odds.
    visual : logit scale of the similarity to class means; at least ln C is used.
    shrink, prior : see `fit_transition`.
    rounds : number of times that the class means are computed; 0 for evidence without class means.
    fold_count : number of folds.
    seed : seed of the folds.
    """
    classes = zero_shot.shape[1]
    scale = max(visual, float(np.log(classes)))
    anchor_of = partial(_anchor, labels, zero_shot, match if matched[1] else None, temper, matched)
    if is_large(len(labels)):
        fitted = streamed_transition(
            labels, features, keys, classes, anchor_of, scale=scale, rounds=rounds, fold_count=fold_count, seed=seed,
            shrink=shrink, prior=prior,
        )  # fmt: skip
        return partition_of(fitted, labels)
    anchor = anchor_of(slice(None)).double().numpy()
    fold = folds(keys, fold_count, seed)
    fitted = fit_transition(log_softmax(anchor, axis=1), labels, shrink=shrink, prior=prior)
    for _ in range(rounds):
        evidence = anchor + scale * out_of_fold_similarity(features, fitted.posterior, fold)
        fitted = fit_transition(log_softmax(evidence, axis=1), labels, shrink=shrink, prior=prior)
    return partition_of(fitted, labels)


def _anchor(
    labels: Ints,
    zero_shot: Floats,
    match: MatchScores | None,
    temper: float,
    matched: tuple[float, float],
    rows: Rows,
) -> Tensor:
    """Return the log evidence (n, C) of the frozen models for the samples at the positions `rows`, in float32."""
    log_zero_shot = single(zero_shot[rows]).add_(1e-12).log_()
    if match is None:
        return log_zero_shot.mul_(temper)
    odds = torch.from_numpy(match_odds(labels, zero_shot, match, rows)).float()
    return log_zero_shot.mul_(matched[0]).add_(odds, alpha=matched[1])


def match_odds(labels: Ints, zero_shot: Floats, match: MatchScores, rows: Rows = slice(None)) -> Floats:
    """Return the matcher's log odds (n, C) for the samples at the positions `rows`.

    The matcher scores the given class and the classes with the highest zero-shot probabilities. All other classes get
    the median of the latter scores. Scoring every class would take C passes per image and changes little.
    """
    n, classes = zero_shot.shape
    likely = np.argsort(-zero_shot[rows], axis=1, kind="stable")[:, :CANDIDATES]
    asked = np.column_stack([likely, labels[rows]])
    images = np.arange(n)[rows].repeat(asked.shape[1])
    score = np.clip(match(images, asked.ravel()).astype(np.float64), 1e-4, 1 - 1e-4).reshape(asked.shape)
    odds = np.log(score) - np.log1p(-score)
    every: Floats = np.median(odds[:, :-1], axis=1, keepdims=True).repeat(classes, axis=1)
    np.put_along_axis(every, asked, odds, axis=1)
    return every


def out_of_fold_similarity(features: Floats, posterior: Floats, fold: Ints) -> Floats:
    """Return the cosine (N, C) of each sample with the class means of all other folds.

    `features` (N, D) are centered and scaled to unit length. In the means, each sample has the weight of its
    `posterior` (N, C). `fold` (N,) is the fold of each sample.
    """
    centered = features - features.mean(0)
    length = np.linalg.norm(centered, axis=1, keepdims=True)  # 0 if all features are equal
    centered = centered / np.maximum(length, np.finfo(centered.dtype).tiny)
    similarity = np.zeros_like(posterior)
    for number in np.unique(fold):
        others = fold != number
        means = posterior[others].T @ centered[others]
        means /= np.linalg.norm(means, axis=1, keepdims=True) + 1e-12
        similarity[~others] = centered[~others] @ means.T
    return similarity


def partition_of(fitted: Transition, labels: Ints) -> Partition:
    """Return the partition that follows from the posterior probability of the given label (N,).

    If the range of the noise rate begins at 0, the rectified labels are the given labels, because there is no evidence
    that any of them is wrong.
    """
    p_clean = of_given(fitted.posterior, labels)
    group = np.full(len(labels), Group.AMBIGUOUS, dtype=np.int8)
    group[p_clean >= CERTAIN] = Group.CLEAN
    group[p_clean < 1 - CERTAIN] = Group.NOISY
    bounds = Thresholds("p_clean", np.array([1 - CERTAIN]), np.array([CERTAIN]), p_clean)
    noise = estimated_noise(fitted.rate, len(labels))
    rectified = labels if noise.low <= 0 else fitted.posterior.argmax(1)
    return Partition(group, p_clean, noise, bounds, fitted.posterior, rectified)


def estimated_noise(rate: float, count: int) -> NoiseEstimate:
    """Return the rate with a 90 % range: the sampling error of `count` labels plus `MODEL_ERROR`, on both sides."""
    reach = 1.645 * np.sqrt(rate * (1 - rate) / count) + MODEL_ERROR
    return NoiseEstimate(rate, float(max(0.0, rate - reach)), float(min(1.0, rate + reach)))
