"""Screening of very many samples by the transition matrix, in bounded memory.

The class means are computed on a part of the samples, which is drawn by content key. With hundreds of samples per
class, the means of the part are as good as the means of all samples. The transition matrix has C² entries, and most of
these entries are small. Therefore the last iterations of its fit use all samples, by sums over blocks.

N samples, n of them at given positions, C classes, D feature size.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from srrs.core.blocks import blocks, single
from srrs.core.keyed import folds, uniforms
from srrs.mapped import empty, release
from srrs.records import Floats, Ints, Keys
from srrs.screening.sorted_transition import ByLabel, Rates, by_label, fit_sums, posterior_of
from srrs.screening.transition import ITERATIONS, Transition

Rows = slice | Ints
Anchor = Callable[[Rows], Tensor]
"""Function from positions (n,) to the log evidence (n, C) for the true class in float32. The log evidence does not
contain the similarity to the class means."""

SAMPLE, SAMPLE_OF_CLASS = 32_768, 256
"""Numbers of samples on which the class means are computed: in total, and per class. The larger total is used."""
ON_ALL = 10
"""Number of last iterations of the last fit. These iterations use all samples and determine the small entries."""
_DRAW = 2  # number of this draw for `uniforms`; the draw of the folds has the number 1


def streamed_transition(
    labels: Ints,
    features: Floats,
    keys: Keys,
    classes: int,
    anchor: Anchor,
    *,
    scale: float,
    rounds: int,
    fold_count: int,
    seed: int,
    shrink: float,
    prior: tuple[float, float],
) -> Transition:
    """Return the fit of `by_transition`, computed in float32 with one temporary array (N, C) besides the result.

    `anchor` returns the log evidence of the samples at given positions, without the similarity to the class means.
    `scale` is the logit scale of this similarity. The other arguments are those of `by_transition`.
    """
    labels = np.asarray(labels)
    fold = folds(keys, fold_count, seed)
    # A part of the samples, drawn by key and sorted by label
    wanted = max(SAMPLE, SAMPLE_OF_CLASS * classes) / len(labels)
    few = np.flatnonzero(uniforms(keys, seed, _DRAW) < wanted)
    few = few[np.argsort(labels[few], kind="stable")]
    seen = single(features[few])
    center = seen.mean(0)
    centered, given = _centered(seen, center), anchor(few)

    # Rounds on this part: class means from the posterior, then the matrix from the class means and the anchor
    bounds, likelihood = by_label(labels[few], classes)[1], _likelihood(given)
    means = torch.zeros(fold_count, classes, centered.shape[1])
    for _ in range(rounds):
        rates = fit_sums(ByLabel(likelihood.numpy(), bounds), shrink=shrink, prior=prior)
        belongs = posterior_of(likelihood, labels[few], rates)
        means = _means_of_other_folds(centered, belongs, fold[few], fold_count)
        likelihood = _likelihood(given + scale * _similarity(centered, means, fold[few]))
    some = ByLabel(likelihood.numpy(), bounds)
    rates = fit_sums(some, shrink=shrink, prior=prior, iterations=ITERATIONS - ON_ALL)
    del seen, centered, given, likelihood, some

    def likelihood_of(rows: slice) -> Tensor:
        similarity = _similarity(_centered(single(features[rows]), center), means, fold[rows])
        release(features)
        return _likelihood(anchor(rows).add_(similarity, alpha=scale))

    # The last iterations on all samples, then the posterior of each sample
    every, in_order = _of_all(likelihood_of, labels, classes)
    rates = fit_sums(in_order, shrink=shrink, prior=prior, begin=rates, iterations=ON_ALL)
    return _with_posterior(every, labels, rates)


def _of_all(likelihood_of: Callable[[slice], Tensor], labels: Ints, classes: int) -> tuple[Floats, ByLabel]:
    """Return the likelihoods (N, C) of all samples in their own order, and once more sorted by their labels (N,)."""
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


def _with_posterior(likelihood: Floats, labels: Ints, rates: Rates) -> Transition:
    """Return the fitted transition matrix with the posterior (N, C), which overwrites the likelihoods (N, C)."""
    every = torch.from_numpy(likelihood)
    for rows in blocks(len(labels)):
        every[rows] = posterior_of(every[rows], labels[rows], rates)
    return Transition(rates.matrix, rates.rate, likelihood)


def _means_of_other_folds(centered: Tensor, posterior: Tensor, fold: Ints, count: int) -> Tensor:
    """Return the unit-length class means (folds, C, D) for each fold, which are computed on all other folds.

    `posterior` (n, C) weights the samples, `fold` (n,) is the fold of each sample, and `count` the number of folds.
    """
    sums = torch.stack(
        [posterior.index_select(0, rows).T @ centered.index_select(0, rows) for rows in _rows_of(fold, count)]
    )
    means = sums.sum(0) - sums
    return means.div_(means.norm(dim=2, keepdim=True) + 1e-12)


def _similarity(centered: Tensor, means: Tensor, fold: Ints) -> Tensor:
    """Return the cosine (n, C) of each sample with the class means of all folds but its own."""
    similarity = torch.empty(len(centered), means.shape[1])
    for rows, of_others in zip(_rows_of(fold, len(means)), means, strict=True):
        similarity.index_copy_(0, rows, centered.index_select(0, rows) @ of_others.T)
    return similarity


def _rows_of(fold: Ints, count: int) -> list[Tensor]:
    return [torch.from_numpy(np.flatnonzero(fold == number)) for number in range(count)]


def _centered(features: Tensor, center: Tensor) -> Tensor:
    """Subtract `center` (D,) from the features (n, D) and scale them to unit length, in place."""
    features -= center
    return features.div_(features.norm(dim=1, keepdim=True).clamp_(min=1e-12))


def _likelihood(log_evidence: Tensor) -> Tensor:
    """Return likelihoods (n, C), which are at least 1e-30 and sum to 1 per sample, from the log evidence (n, C)."""
    return log_evidence.softmax(1).clamp_(min=1e-30)
