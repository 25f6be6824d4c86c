"""The label channel of `channel` from sums over blocks of samples that share a given label, for millions of samples.

With likelihoods p (N, C) in the order of the labels, the rows of one given label j share a column t = T[:, j]. The
expected counts are then two products of a matrix and a vector for each block, without any (N, C) temporary:

    Σ_i q_i(k) [y_i = j] = t_k Σ_i p_i(k) / s_i        s_i = Σ_k p_i(k) t_k        over i with y_i = j
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

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

    def cells(self) -> Iterator[tuple[int, slice]]:
        """Blocks of rows with one given label."""
        for label, (start, end) in enumerate(zip(self.bounds[:-1].tolist(), self.bounds[1:].tolist(), strict=True)):
            for at in range(start, end, CELL):
                yield label, slice(at, min(at + CELL, end))


@dataclass(frozen=True)
class Rates:
    """A fitted channel without its posterior, which follows block by block from `posterior_of`."""

    transition: Floats
    """(C, C) probability of each given label (column) for each true class (row)."""
    rate: float
    """Estimated share of wrong labels."""


def by_label(labels: Ints, classes: int) -> tuple[Ints, Ints]:
    """The samples in the order of their labels (N,), and where each label begins (C + 1,)."""
    order = np.argsort(labels, kind="stable")
    return order, np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=classes))])


def fit_sums(
    evidence: ByLabel,
    *,
    shrink: float,
    prior: tuple[float, float],
    begin: Rates | None = None,
    start: float = 0.3,
    iterations: int = ITERATIONS,
    settled: float = 1e-7,
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
    counts = np.zeros(transition.shape)
    columns = _columns(transition)
    for label, rows in evidence.cells():
        part = evidence.likelihood[rows]
        counts[:, label] += columns[label] * (part.T @ (1 / (part @ columns[label])))
    return counts


def posterior_of(evidence: ByLabel, fitted: Rates) -> Iterator[tuple[slice, Floats, Floats]]:
    """Block by block: the posterior (rows, C) of the true class, float32, and how likely the given label is (rows,)."""
    columns = _columns(fitted.transition)
    for label, rows in evidence.cells():
        joint = evidence.likelihood[rows] * columns[label]
        likely = joint.sum(1)
        joint /= likely[:, None]
        yield rows, joint, likely


def _columns(transition: Floats) -> Floats:
    """(given label, true class) float32, above 0 as in `channel`."""
    return np.ascontiguousarray(transition.T + 1e-12, dtype=np.float32)
