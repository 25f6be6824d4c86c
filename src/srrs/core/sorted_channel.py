"""The label channel of `channel` from sums over blocks of samples that share a given label, for millions of samples.

With likelihoods p (N, C) in the order of the labels, the rows of one given label j share a column t = T[:, j]. The
expected counts are then two products of a matrix and a vector for each block, without any (N, C) temporary:

    Σ_i q_i(k) [y_i = j] = t_k Σ_i p_i(k) / s_i        s_i = Σ_k p_i(k) t_k        over i with y_i = j
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from srrs.core.channel import ITERATIONS, Floats, Ints, symmetric

CELL = 2_048
"""Rows of a block: 100 classes of them stay in the processor's cache between the two products."""


@dataclass(frozen=True)
class ByLabel:
    """Evidence for the true class, in the order of the given labels."""

    likelihood: Floats
    """(N, C) float32, above 0; a factor of a row changes nothing."""
    bounds: Ints
    """(C + 1,) where the rows of each given label begin, and N."""

    @cached_property
    def cells(self) -> tuple[tuple[int, Floats], ...]:
        """Each given label with the likelihoods of some of its rows, block by block."""
        return tuple(
            (label, self.likelihood[at : min(at + CELL, end)])
            for label, (start, end) in enumerate(zip(self.bounds[:-1].tolist(), self.bounds[1:].tolist(), strict=True))
            for at in range(start, end, CELL)
        )


@dataclass(frozen=True)
class Rates:
    """A fitted channel without its posterior, which follows from `posterior_of` for any rows."""

    transition: Floats
    """(C, C) probability of each given label (column) for each true class (row)."""
    rate: float
    """Estimated share of wrong labels."""


def by_label(labels: Ints, classes: int) -> tuple[Ints, Ints]:
    """The samples in the order of their labels (N,), and where each label begins (C + 1,)."""
    small = labels.astype(np.min_scalar_type(classes))  # short integers are sorted by their digits
    order = np.argsort(small, kind="stable")
    return order, np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=classes))])


def fit_sums(
    evidence: ByLabel,
    *,
    shrink: float,
    prior: tuple[float, float],
    begin: Rates | None = None,
    start: float = 0.3,
    iterations: int = ITERATIONS,
    settled: float = 1e-5,
) -> Rates:
    """`srrs.core.channel.fit_channel` by sums, in float32, equal to it within rounding and `settled`.

    Stops early where no entry of the channel moves by more than `settled`. `begin` is where to start from, instead of
    the symmetric channel of rate `start`.
    """
    n, c = evidence.likelihood.shape
    fitted = begin or Rates(symmetric(c, start), start)
    for _ in range(iterations):
        counts = expected_counts(evidence, fitted.transition)
        rate = float((n - np.trace(counts) + prior[0]) / (n + prior[0] + prior[1]))
        transition = (counts + shrink * symmetric(c, rate)) / (counts.sum(1, keepdims=True) + shrink)
        moved = float(np.abs(transition - fitted.transition).max())
        fitted = Rates(transition, rate)
        if moved <= settled:
            break
    return fitted


def expected_counts(evidence: ByLabel, transition: Floats) -> Floats:
    """(C, C) how many samples are expected of each true class (row) with each given label (column)."""
    columns = _columns(transition)
    sums = np.zeros(columns.shape)
    for label, part in evidence.cells:
        sums[label] += (1 / (part @ columns[label])) @ part
    return (columns * sums).T


def posterior_of(likelihood: Tensor, labels: Ints, fitted: Rates) -> tuple[Tensor, Tensor]:
    """Posterior (n, C) of the true class and how likely the given label is (n,), of rows in any order."""
    columns = torch.from_numpy(_columns(fitted.transition))
    joint = columns.index_select(0, torch.from_numpy(labels)).mul_(likelihood)
    likely = joint.sum(1)
    return joint.div_(likely[:, None]), likely


def _columns(transition: Floats) -> Floats:
    """(given label, true class) float32, above 0 as in `channel`."""
    return np.ascontiguousarray(transition.T + 1e-12, dtype=np.float32)
