"""The channel's screening of very many samples: fitted on some, applied to all, in memory that N does not fill.

The rounds of `srrs.methods.screen.channel` find class means. Those of a share of the samples, drawn by content, are as
good as those of all once a class has hundreds. The channel itself has C² entries, most of them small, so the end of its
fit is on all samples, by sums over blocks.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from srrs.core.blocks import blocks, empty, release, single
from srrs.core.channel import ITERATIONS, Channel
from srrs.core.keyed import Keys, bit_keys, folds, uniforms
from srrs.core.sorted_channel import ByLabel, Rates, by_label, fit_sums, posterior_of
from srrs.records import Evidence, Floats, Ints

Rows = slice | Ints
Anchor = Callable[[Rows], Tensor]
"""Rows -> (n, C) log evidence for the true class before any similarity, float32."""

SAMPLE, SAMPLE_OF_CLASS = 32_768, 256
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
    keys = _keys(evidence.features)
    fold = folds(keys, fold_count, seed)
    wanted = max(SAMPLE, SAMPLE_OF_CLASS * classes) / len(labels)
    few = np.flatnonzero(uniforms(keys, seed, _DRAW) < wanted)
    few = few[np.argsort(labels[few], kind="stable")]
    seen = single(evidence.features[few])
    centre = seen.mean(0)
    centred, given = _centred(seen, centre), anchor(few)

    bounds, likelihood = by_label(labels[few], classes)[1], _likelihood(given)
    means = torch.zeros(fold_count, classes, centred.shape[1])
    for _ in range(rounds):
        rates = fit_sums(ByLabel(likelihood.numpy(), bounds), shrink=shrink, prior=prior)
        belongs, _ = posterior_of(likelihood, labels[few], rates)
        means = _means_of_other_folds(centred, belongs, fold[few], fold_count)
        likelihood = _likelihood(given + scale * _similarity(centred, means, fold[few]))
    some = ByLabel(likelihood.numpy(), bounds)
    rates = fit_sums(some, shrink=shrink, prior=prior, iterations=ITERATIONS - ON_ALL)
    del seen, centred, given, likelihood, some

    def likelihood_of(rows: slice) -> Tensor:
        similarity = _similarity(_centred(single(evidence.features[rows]), centre), means, fold[rows])
        release(evidence.features)
        return _likelihood(anchor(rows).add_(similarity, alpha=scale))

    every, in_order = _of_all(likelihood_of, labels, classes)
    rates = fit_sums(in_order, shrink=shrink, prior=prior, begin=rates, iterations=ON_ALL)
    return _with_posterior(every, labels, rates)


def _keys(features: Floats) -> Keys:
    """Content keys (N,) of all features."""

    def of(rows: slice) -> Keys:
        keys = bit_keys(features[rows])
        release(features)
        return keys

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return np.concatenate(list(pool.map(of, blocks(len(features)))))


def _of_all(likelihood_of: Callable[[slice], Tensor], labels: Ints, classes: int) -> tuple[Floats, ByLabel]:
    """The evidence of all samples (N, C), and once more in the order of their labels."""
    n = len(labels)
    order, bounds = by_label(labels, classes)
    place = torch.empty(n, dtype=torch.int64)
    place[torch.from_numpy(order)] = torch.arange(n)
    every, in_order = empty((n, classes), np.float32), empty((n, classes), np.float32)
    here, there = torch.from_numpy(every), torch.from_numpy(in_order)
    for rows in blocks(n):
        part = likelihood_of(rows)
        here[rows] = part
        there.index_copy_(0, place[rows], part)
    return every, ByLabel(in_order, bounds)


def _with_posterior(likelihood: Floats, labels: Ints, rates: Rates) -> Channel:
    """The fitted channel; its posterior takes the place of the likelihood."""
    every, total = torch.from_numpy(likelihood), 0.0
    for rows in blocks(len(labels)):
        every[rows], likely = posterior_of(every[rows], labels[rows], rates)
        total += float(likely.log().sum(dtype=torch.float64))
    return Channel(rates.transition, rates.rate, likelihood, total / len(labels))


def _means_of_other_folds(centred: Tensor, posterior: Tensor, fold: Ints, count: int) -> Tensor:
    """(folds, C, D) unit-length class means of all folds but one, weighted by the posterior (n, C)."""
    sums = torch.stack(
        [posterior.index_select(0, rows).T @ centred.index_select(0, rows) for rows in _rows_of(fold, count)]
    )
    means = sums.sum(0) - sums
    return means.div_(means.norm(dim=2, keepdim=True) + 1e-12)


def _similarity(centred: Tensor, means: Tensor, fold: Ints) -> Tensor:
    """Cosine (n, C) of each row with the class means of the other folds than its own."""
    similarity = torch.empty(len(centred), means.shape[1])
    for rows, of_others in zip(_rows_of(fold, len(means)), means, strict=True):
        similarity.index_copy_(0, rows, centred.index_select(0, rows) @ of_others.T)
    return similarity


def _rows_of(fold: Ints, count: int) -> list[Tensor]:
    return [torch.from_numpy(np.flatnonzero(fold == number)) for number in range(count)]


def _centred(features: Tensor, centre: Tensor) -> Tensor:
    """Of unit length about the centre; in place."""
    features -= centre
    return features.div_(features.norm(dim=1, keepdim=True).clamp_(min=1e-12))


def _likelihood(log_evidence: Tensor) -> Tensor:
    """Rows that sum to 1, and none of them 0."""
    return log_evidence.softmax(1).clamp_(min=1e-30)
