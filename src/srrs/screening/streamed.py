"""Screening of very many samples by the transition matrix, in bounded memory.

The class means are computed on a part of the samples, drawn by content key. With hundreds of samples per class, they
are as good as the means of all samples. The transition matrix has C² entries, and most of them are small. Therefore the
last iterations of its fit use all samples, by sums over blocks.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from srrs.core.blocks import blocks, empty, release, single
from srrs.core.keyed import folds, uniforms
from srrs.records import Floats, Ints, Keys
from srrs.screening.sorted_transition import ByLabel, Rates, by_label, fit_sums, posterior_of
from srrs.screening.transition import ITERATIONS, Transition

Rows = slice | Ints
Anchor = Callable[[Rows], Tensor]
"""Function from rows to the log evidence (n, C) for the true class, float32, without the similarity to class means."""

SAMPLE, SAMPLE_OF_CLASS = 32_768, 256
"""Number of samples that the class means are computed on: in total, and per class. The larger number counts."""
ON_ALL = 10
"""Number of iterations at the end of the last fit that use all samples. They determine the small entries."""
_DRAW = 2  # purpose of the keyed draw; 1 are the folds


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
    """Return the result of `by_transition`'s fit, computed in float32 with a single temporary array (N, C).

    `anchor` returns the log evidence of rows without the similarity to class means, and `scale` is the logit scale of
    this similarity. The other arguments are those of `by_transition`.
    """
    labels = np.asarray(labels)
    fold = folds(keys, fold_count, seed)
    # A share of the samples, drawn by key, in the order of their labels
    wanted = max(SAMPLE, SAMPLE_OF_CLASS * classes) / len(labels)
    few = np.flatnonzero(uniforms(keys, seed, _DRAW) < wanted)
    few = few[np.argsort(labels[few], kind="stable")]
    seen = single(features[few])
    center = seen.mean(0)
    centered, given = _centered(seen, center), anchor(few)

    # Rounds on that share: class means from the posterior, then the matrix from means and anchor
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

    # The last iterations on all samples, then the posterior of each
    every, in_order = _of_all(likelihood_of, labels, classes)
    rates = fit_sums(in_order, shrink=shrink, prior=prior, begin=rates, iterations=ON_ALL)
    return _with_posterior(every, labels, rates)


def _of_all(likelihood_of: Callable[[slice], Tensor], labels: Ints, classes: int) -> tuple[Floats, ByLabel]:
    """Return the evidence of all samples (N, C), and once more in the order of their labels."""
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
    """Return the fitted transition matrix; its posterior is written over the likelihood."""
    every = torch.from_numpy(likelihood)
    for rows in blocks(len(labels)):
        every[rows] = posterior_of(every[rows], labels[rows], rates)
    return Transition(rates.matrix, rates.rate, likelihood)


def _means_of_other_folds(centered: Tensor, posterior: Tensor, fold: Ints, count: int) -> Tensor:
    """(folds, C, D) unit-length class means of all folds but one, weighted by the posterior (n, C)."""
    sums = torch.stack(
        [posterior.index_select(0, rows).T @ centered.index_select(0, rows) for rows in _rows_of(fold, count)]
    )
    means = sums.sum(0) - sums
    return means.div_(means.norm(dim=2, keepdim=True) + 1e-12)


def _similarity(centered: Tensor, means: Tensor, fold: Ints) -> Tensor:
    """Return the cosine (n, C) of each row with the class means of the other folds than its own."""
    similarity = torch.empty(len(centered), means.shape[1])
    for rows, of_others in zip(_rows_of(fold, len(means)), means, strict=True):
        similarity.index_copy_(0, rows, centered.index_select(0, rows) @ of_others.T)
    return similarity


def _rows_of(fold: Ints, count: int) -> list[Tensor]:
    return [torch.from_numpy(np.flatnonzero(fold == number)) for number in range(count)]


def _centered(features: Tensor, center: Tensor) -> Tensor:
    """Center the rows and scale them to unit length, in place."""
    features -= center
    return features.div_(features.norm(dim=1, keepdim=True).clamp_(min=1e-12))


def _likelihood(log_evidence: Tensor) -> Tensor:
    """Return the rows that sum to 1, every entry above 0."""
    return log_evidence.softmax(1).clamp_(min=1e-30)
