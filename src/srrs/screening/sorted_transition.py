"""The transition matrix for millions of samples, from sums over blocks of samples with the same given label.

The samples are sorted by their given labels, and p (N, C) are their likelihoods of each true class. All samples with
the given label j use the same column t = T[:, j]. The expected counts need two products of a matrix and a vector for
each block, and no temporary array (N, C):

    Σ_i q_i(k) [y_i = j] = t_k Σ_i p_i(k) / s_i        s_i = Σ_k p_i(k) t_k        over i with y_i = j

N samples, n of them at given positions, C classes.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from srrs.records import Floats, Ints
from srrs.screening.transition import ITERATIONS, symmetric

CELL = 2_048
"""Number of samples in a block. With 100 classes, a block stays in the processor's cache between the two products."""


@dataclass(frozen=True)
class ByLabel:
    """Evidence for the true class of each sample. The samples are sorted by their given labels."""

    likelihood: Floats
    """(N, C) float32, above 0. A factor that multiplies a whole row does not change the result."""
    bounds: Ints
    """(C + 1,) position of the first sample of each given label, and N."""

    @cached_property
    def cells(self) -> tuple[tuple[int, Floats], ...]:
        """Return pairs of a given label and the likelihoods of one block of its samples, for all blocks."""
        return tuple(
            (label, self.likelihood[at : min(at + CELL, end)])
            for label, (start, end) in enumerate(zip(self.bounds[:-1].tolist(), self.bounds[1:].tolist(), strict=True))
            for at in range(start, end, CELL)
        )


@dataclass(frozen=True)
class Rates:
    """A fitted transition matrix without the posterior. `posterior_of` computes the posterior of any samples."""

    matrix: Floats
    """(C, C) probability of each given label (column) for each true class (row)."""
    rate: float
    """Estimated share of wrong labels."""


def by_label(labels: Ints, classes: int) -> tuple[Ints, Ints]:
    """Return the positions (N,) of the samples, sorted by label, and the place (C + 1,) where each label begins."""
    small = labels.astype(np.min_scalar_type(classes))  # numpy uses radix sort for short integers, which is faster
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
    """Fit the transition matrix of `fit_transition` by sums over blocks, in float32.

    The result differs from that of `fit_transition` by rounding and by `settled`: the fit stops early if no entry of
    the matrix changes by more than `settled`. The fit starts from the matrix `begin`. If `begin` is None, the fit
    starts from the symmetric matrix with the noise rate `start`. See `fit_transition` for `shrink` and `prior`.
    """
    n, c = evidence.likelihood.shape
    fitted = begin or Rates(symmetric(c, start), start)
    for _ in range(iterations):
        # E step: expected counts of each pair of true class and given label
        counts = expected_counts(evidence, fitted.matrix)
        # M step: the rate, then the matrix, shrunk towards the symmetric matrix of that rate
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
    """Return the posterior (n, C) of the true class of n samples, which need not be sorted.

    `likelihood` (n, C) is the evidence for the true class, and `labels` (n,) are the given labels.
    """
    columns = torch.from_numpy(_columns(fitted.matrix))
    joint = columns.index_select(0, torch.from_numpy(labels)).mul_(likelihood)
    return joint.div_(joint.sum(1, keepdim=True))


def _columns(matrix: Floats) -> Floats:
    """Return the transposed matrix (C, C), a row per given label, in float32. As in `posterior`, 1e-12 is added."""
    return np.ascontiguousarray(matrix.T + 1e-12, dtype=np.float32)
