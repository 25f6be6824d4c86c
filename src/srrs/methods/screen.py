"""Screening: which given labels to trust."""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from srrs.core.blocks import is_large, single
from srrs.core.channel import Channel, fit_channel
from srrs.core.keyed import content_keys, folds
from srrs.core.mixture import density_thresholds, fit_two, normalise, posterior_low
from srrs.methods.stages import Memory, Screen
from srrs.methods.streamed import Rows, streamed_channel
from srrs.records import Evidence, Floats, Group, MatchScores, NoiseEstimate, Partition


def trust_all() -> Screen:
    """Every given label counts as clean; `p_clean` is what the learners believe of it."""

    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        n = len(evidence.labels)
        believed = evidence.probs.mean(1)[np.arange(n), evidence.labels]
        group = np.full(n, Group.CLEAN, dtype=np.int8)
        return Partition(group, believed, np.zeros((1, 2)), counted_noise(believed, group)), memory

    return screen


def bands(theta: float = 0.01, remember: int = 5, seed: int = 0) -> Screen:
    """SRRS as published: a mixture of two Gaussians on the loss and two density thresholds (paper, Eq. 6-9).

    The loss is scaled to 0..1 and averaged over the last `remember` screenings, as the released code does.
    """

    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        loss, memory = remembered("losses", normalise(evidence.loss), remember, memory)
        mixture = fit_two(loss, seed=seed)
        p_clean = posterior_low(loss, mixture)
        lower, upper = density_thresholds(mixture, theta)
        group = np.full(len(loss), Group.AMBIGUOUS, dtype=np.int8)
        group[loss < lower] = Group.CLEAN
        group[loss >= upper] = Group.NOISY
        return Partition(group, p_clean, np.array([[lower, upper]]), counted_noise(p_clean, group)), memory

    return screen


def two_way(threshold: float = 0.5, remember: int = 5, seed: int = 0) -> Screen:
    """Clean or noisy, nothing between: what the paper sets its three groups against (Fig. 4).

    By the posterior of the same mixture as `bands`.
    """

    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        loss, memory = remembered("losses", normalise(evidence.loss), remember, memory)
        p_clean = posterior_low(loss, fit_two(loss, seed=seed))
        group = np.where(p_clean >= threshold, Group.CLEAN, Group.NOISY).astype(np.int8)
        return Partition(group, p_clean, np.full((1, 2), threshold), counted_noise(p_clean, group)), memory

    return screen


def remembered(name: str, values: Floats, count: int, memory: Memory) -> tuple[Floats, Memory]:
    """The mean of `values` (N,) and of those of the last `count - 1` rounds, and the memory with them added."""
    past = memory.get(name, np.zeros((0, len(values))))
    window = np.concatenate([past, values[None]])[-count:]
    return window.mean(0), {**memory, name: window}


def counted_noise(p_clean: Floats, group: np.ndarray) -> NoiseEstimate:
    """The rate of a method without a noise model: mean belief, between the noisy share and the share not clean."""
    rate = float(1 - p_clean.mean())
    low, high = float((group == Group.NOISY).mean()), float((group != Group.CLEAN).mean())
    return NoiseEstimate(rate, min(low, rate), max(high, rate))


def channel(
    temper: float = 0.3,
    matched: tuple[float, float] = (0.2, 0.2),
    visual: float = 3.0,
    shrink: float = 12.0,
    rounds: int = 3,
    fold_count: int = 5,
    prior: tuple[float, float] = (1.0, 1.0),
    seed: int = 0,
) -> Screen:
    """Ours: a model of how labels go wrong decides (see `srrs.core.channel`).

    The evidence for the true class is what never saw the label of the sample itself: the zero-shot prediction,
    tempered; the matcher's odds, where there is a matcher; and the similarity to class means of the *other folds'*
    images, weighted by the posterior and refined over `rounds`. Very many samples are screened in blocks of rows (see
    `srrs.methods.streamed`).

    Parameters
    ----------
    temper : power of the zero-shot probabilities without a matcher.
    matched : powers of the zero-shot probabilities and of the matcher's odds with one.
    visual : logit scale of the similarity to class means; ln C where that is more, as with many classes a label needs
        more evidence to stand out among the others.
    shrink : pseudo-count per class towards the symmetric channel.
    prior : pseudo-counts (wrong, right) on the rate.
    """

    def anchor_of(evidence: Evidence, rows: Rows) -> Tensor:
        zero_shot = single(evidence.zero_shot[rows]).add_(1e-12).log_()
        if evidence.match is None or not matched[1]:
            return zero_shot.mul_(temper)
        odds = torch.from_numpy(match_odds(evidence, evidence.match, rows)).float()
        return zero_shot.mul_(matched[0]).add_(odds, alpha=matched[1])

    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        scale = max(visual, float(np.log(evidence.zero_shot.shape[1])))
        if is_large(len(evidence.labels)):
            fitted = streamed_channel(
                evidence, partial(anchor_of, evidence), scale, rounds, fold_count, seed, shrink, prior
            )
            return partition_of(fitted, evidence.labels), memory
        anchor = anchor_of(evidence, slice(None)).double().numpy()
        fold = folds(content_keys(evidence.features), fold_count, seed)
        fitted = fit_channel(_normalised(anchor), evidence.labels, shrink=shrink, prior=prior)
        for _ in range(rounds):
            similarity = out_of_fold_similarity(evidence.features, fitted.posterior, fold)
            fitted = fit_channel(_normalised(anchor + scale * similarity), evidence.labels, shrink=shrink, prior=prior)
        return partition_of(fitted, evidence.labels), memory

    return screen


CANDIDATES = 10
"""Classes by which the matcher judges a picture, beside the given one."""


def match_odds(evidence: Evidence, match: MatchScores, rows: Rows = slice(None)) -> Floats:
    """(n, C) the matcher's log odds of the given class and of the likeliest ones by zero-shot prediction, for `rows`.

    A class that was not asked for counts as the median of those: asking for all changes little and costs C a picture.
    """
    n, classes = evidence.zero_shot.shape
    likely = np.argsort(-evidence.zero_shot[rows], axis=1, kind="stable")[:, :CANDIDATES]
    asked = np.column_stack([likely, evidence.labels[rows]])
    pictures = np.arange(n)[rows].repeat(asked.shape[1])
    score = np.clip(match(pictures, asked.ravel()).astype(np.float64), 1e-4, 1 - 1e-4).reshape(asked.shape)
    odds = np.log(score) - np.log1p(-score)
    everything: Floats = np.median(odds[:, :-1], axis=1, keepdims=True).repeat(classes, axis=1)
    np.put_along_axis(everything, asked, odds, axis=1)
    return everything


def out_of_fold_similarity(features: Floats, posterior: Floats, fold: np.ndarray) -> Floats:
    """Cosine (N, C) of each sample with the class means of all other folds, weighted by the posterior (N, C)."""
    centred = features - features.mean(0)
    length = np.linalg.norm(centred, axis=1, keepdims=True)  # zero where all are alike
    centred = centred / np.maximum(length, np.finfo(centred.dtype).tiny)
    similarity = np.zeros_like(posterior)
    for number in np.unique(fold):
        others = fold != number
        means = posterior[others].T @ centred[others]
        means /= np.linalg.norm(means, axis=1, keepdims=True) + 1e-12
        similarity[~others] = centred[~others] @ means.T
    return similarity


def _normalised(log_evidence: Floats) -> Floats:
    top = log_evidence.max(1, keepdims=True)
    total: Floats = log_evidence - top - np.log(np.exp(log_evidence - top).sum(1, keepdims=True))
    return total


CERTAIN = 0.8
"""A label is clean or noisy when the posterior is at least this sure, and ambiguous between."""


def partition_of(fitted: Channel, labels: np.ndarray) -> Partition:
    """Groups follow from the posterior: the chance that the given label is right."""
    p_clean = fitted.posterior[np.arange(len(labels)), labels]
    group = np.full(len(labels), Group.AMBIGUOUS, dtype=np.int8)
    group[p_clean >= CERTAIN] = Group.CLEAN
    group[p_clean < 1 - CERTAIN] = Group.NOISY
    noise = estimated_noise(fitted.rate, len(labels))
    return Partition(group, p_clean, np.array([[1 - CERTAIN, CERTAIN]]), noise, fitted.posterior)


MODEL_ERROR = 0.05
"""How far the channel's rate is off on the development classes beyond sampling, at most in nine of ten draws."""


def estimated_noise(rate: float, count: int) -> NoiseEstimate:
    """The rate with a 90 % range: sampling error of `count` labels, and the error of the model itself."""
    reach = 1.645 * np.sqrt(rate * (1 - rate) / count) + MODEL_ERROR
    return NoiseEstimate(rate, float(max(0.0, rate - reach)), float(min(1.0, rate + reach)))
