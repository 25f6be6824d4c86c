"""The transition matrix for millions of samples, from sums over blocks of samples with the same given label.

With likelihoods p (N, C) in the order of the labels, the rows of one given label j share a column t = T[:, j]. The
expected counts are then two products of a matrix and a vector for each block, without any (N, C) temporary:

    Σ_i q_i(k) [y_i = j] = t_k Σ_i p_i(k) / s_i        s_i = Σ_k p_i(k) t_k        over i with y_i = j
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from srrs.records import Floats, Ints
from srrs.screening.transition import ITERATIONS, symmetric

CELL = 2_048
"""Rows of a block. With 100 classes, a block stays in the processor's cache between the two products."""


@dataclass(frozen=True)
class ByLabel:
    """Evidence for the true class, in the order of the given labels."""

    likelihood: Floats
    """(N, C) float32, above 0. Multiplying a row by a factor does not change the result."""
    bounds: Ints
    """(C + 1,) first row of each given label, and N."""

    @cached_property
    def cells(self) -> tuple[tuple[int, Floats], ...]:
        """Return pairs of a given label and the likelihoods of one block of its rows, for all blocks."""
        return tuple(
            (label, self.likelihood[at : min(at + CELL, end)])
            for label, (start, end) in enumerate(zip(self.bounds[:-1].tolist(), self.bounds[1:].tolist(), strict=True))
            for at in range(start, end, CELL)
        )


@dataclass(frozen=True)
class Rates:
    """A fitted transition matrix without the posterior. `posterior_of` computes the posterior of any rows."""

    matrix: Floats
    """(C, C) probability of each given label (column) for each true class (row)."""
    rate: float
    """Estimated share of wrong labels."""


def by_label(labels: Ints, classes: int) -> tuple[Ints, Ints]:
    """Return the samples (N,) in the order of their labels, and the position (C + 1,) at which each label begins."""
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
    """Fit the transition matrix of `fit_transition` by sums, in float32. The results differ by rounding and `settled`.

    The fit stops early if no entry of the matrix changes by more than `settled`. It starts from the matrix `begin` or,
    if this is None, from the symmetric matrix with the noise rate `start`. See `fit_transition` for `shrink` and
    `prior`.
    """
    n, c = evidence.likelihood.shape
    fitted = begin or Rates(symmetric(c, start), start)
    for _ in range(iterations):
        # E step: expected counts of each true class and given label
        counts = expected_counts(evidence, fitted.matrix)
        # M step: rate and shrunk matrix
        rate = float((n - np.trace(counts) + prior[0]) / (n + prior[0] + prior[1]))
        matrix = (counts + shrink * symmetric(c, rate)) / (counts.sum(1, keepdims=True) + shrink)
        moved = float(np.abs(matrix - fitted.matrix).max())
        fitted = Rates(matrix, rate)
        if moved <= settled:
            break
    return fitted


def expected_counts(evidence: ByLabel, matrix: Floats) -> Floats:
    """Return the expected number (C, C) of samples with each true class (row) and each given label (column)."""
    columns = _columns(matrix)
    sums = np.zeros(columns.shape)
    for label, part in evidence.cells:
        sums[label] += (1 / (part @ columns[label])) @ part
    return (columns * sums).T


def posterior_of(likelihood: Tensor, labels: Ints, fitted: Rates) -> Tensor:
    """Return the posterior (n, C) of the true class, for rows in any order."""
    columns = torch.from_numpy(_columns(fitted.matrix))
    joint = columns.index_select(0, torch.from_numpy(labels)).mul_(likelihood)
    return joint.div_(joint.sum(1, keepdim=True))


def _columns(matrix: Floats) -> Floats:
    """(given label, true class) float32, above 0 as in `posterior`."""
    return np.ascontiguousarray(matrix.T + 1e-12, dtype=np.float32)
