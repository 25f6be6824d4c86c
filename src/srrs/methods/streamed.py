"""The channel's screening of very many samples: fitted on some, applied to all, in memory that N does not fill.

The rounds of `srrs.methods.screen.channel` find class means. Those of a share of the samples, drawn by content, are as
good as those of all once a class has hundreds. The channel itself has C² entries, most of them small, so the end of its
fit is on all samples, by sums over blocks.
"""

from collections.abc import Callable

import numpy as np
import torch

from srrs.core.blocks import blocks, empty, release
from srrs.core.channel import ITERATIONS, Channel
from srrs.core.keyed import bit_keys, folds, uniforms
from srrs.core.sorted_channel import ByLabel, Rates, by_label, fit_sums, posterior_of
from srrs.records import Evidence, Floats, Ints

Rows = slice | Ints
Anchor = Callable[[Rows], Floats]
"""Rows -> (n, C) log evidence for the true class before any similarity."""

SAMPLE, SAMPLE_OF_CLASS = 65_536, 256
"""Samples that the class means are found on: so many, or so many per class where that is more."""
ON_ALL = 10
"""How many of the iterations of the last fit are on all samples: the last ones, which settle its small entries."""
_DRAW = 2  # purpose of the keyed draw; 1 are the folds


def streamed_channel(
    evidence: Evidence,
    anchor: Anchor,
    scale: float,
    rounds: int,
    fold_count: int,
    seed: int,
    shrink: float,
    prior: tuple[float, float],
) -> Channel:
    """What `channel` fits, in float32 and without (N, C) temporaries but one, which is in the order of the labels."""
    labels, classes = np.asarray(evidence.labels), evidence.zero_shot.shape[1]
    keys, centre = _keys_and_centre(evidence.features)
    fold = folds(keys, fold_count, seed)
    wanted = max(SAMPLE, SAMPLE_OF_CLASS * classes) / len(labels)
    few = np.flatnonzero(uniforms(keys, seed, _DRAW) < wanted)
    few = few[np.argsort(labels[few], kind="stable")]
    centred, given = _centred(evidence.features[few], centre), anchor(few).astype(np.float32)

    bounds = by_label(labels[few], classes)[1]
    some = ByLabel(_likelihood(given.copy()), bounds)
    means = np.zeros((fold_count, classes, centred.shape[1]), np.float32)
    for _ in range(rounds):
        rates = fit_sums(some, shrink=shrink, prior=prior)
        posterior = np.concatenate([part for _, part, _ in posterior_of(some, rates)])
        means = _means_of_other_folds(centred, posterior, fold[few], fold_count)
        some = ByLabel(_likelihood(given + scale * _similarity(centred, means, fold[few])), bounds)
    rates = fit_sums(some, shrink=shrink, prior=prior, iterations=ITERATIONS - ON_ALL)
    del centred, given, some

    def log_evidence(rows: slice) -> Floats:
        similarity = _similarity(_centred(evidence.features[rows], centre), means, fold[rows])
        return anchor(rows).astype(np.float32) + scale * similarity

    every, order = _sorted(log_evidence, evidence, labels)
    rates = fit_sums(every, shrink=shrink, prior=prior, begin=rates, iterations=ON_ALL)
    return _with_posterior(every, rates, order)


def _keys_and_centre(features: Floats) -> tuple[np.ndarray, Floats]:
    """Content keys (N,) and the mean (D,) of all features."""
    keys, total = np.empty(len(features), np.uint64), np.zeros(features.shape[1])
    for rows in blocks(len(features)):
        keys[rows] = bit_keys(features[rows])
        total += _single(features[rows]).sum(0)
        release(features)
    return keys, (total / len(features)).astype(np.float32)


def _sorted(log_evidence: Callable[[slice], Floats], evidence: Evidence, labels: Ints) -> tuple[ByLabel, Ints]:
    """The evidence of all samples in the order of their labels, and that order."""
    n, classes = evidence.zero_shot.shape
    order, bounds = by_label(labels, classes)
    place = np.empty(n, np.int64)
    place[order] = np.arange(n)
    likelihood = empty((n, classes), np.float32)
    for rows in blocks(n):
        likelihood[place[rows]] = _likelihood(log_evidence(rows))
        release(evidence.features)
    return ByLabel(likelihood, bounds), order


def _with_posterior(every: ByLabel, rates: Rates, order: Ints) -> Channel:
    posterior, total = empty(every.likelihood.shape, np.float32), 0.0
    for rows, part, likely in posterior_of(every, rates):
        posterior[order[rows]] = part
        total += float(np.log(likely).sum(dtype=np.float64))
    return Channel(rates.transition, rates.rate, posterior, total / len(order))


def _means_of_other_folds(centred: Floats, posterior: Floats, fold: Ints, count: int) -> Floats:
    """(folds, C, D) unit-length class means of all folds but one, weighted by the posterior (n, C)."""
    sums = np.stack([posterior[fold == number].T @ centred[fold == number] for number in range(count)])
    means = sums.sum(0) - sums
    means /= np.linalg.norm(means, axis=2, keepdims=True) + 1e-12
    return np.asarray(means)


def _similarity(centred: Floats, means: Floats, fold: Ints) -> Floats:
    """Cosine (n, C) of each row with the class means of the other folds than its own."""
    similarity = np.empty((len(centred), means.shape[1]), np.float32)
    for number, of_others in enumerate(means):
        here = fold == number
        similarity[here] = centred[here] @ of_others.T
    return similarity


def _centred(features: Floats, centre: Floats) -> Floats:
    centred = _single(features) - centre
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    return centred


def _single(features: Floats) -> Floats:
    """As float32, by torch, which is many times faster from float16."""
    return torch.from_numpy(np.array(features)).float().numpy()


def _likelihood(log_evidence: Floats) -> Floats:
    """Rows that sum to 1; in place."""
    log_evidence -= log_evidence.max(1, keepdims=True)
    np.exp(log_evidence, out=log_evidence)
    log_evidence /= log_evidence.sum(1, keepdims=True)
    return np.maximum(log_evidence, 1e-30, out=log_evidence)
