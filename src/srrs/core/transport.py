"""Optimal transport of samples to classes, smoothed by entropy. N samples, C classes."""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

EVERY = 10
"""Every tenth sweep is computed on logarithms, and the marginals are checked."""
LEAST = -575.0
"""Logarithm of the least mass. Smaller masses count as 0, because denormal numbers are slow."""


def sinkhorn(cost: Floats, reg: float, *, max_iter: int = 1000, tol: float = 1e-6) -> Floats:
    """Return the logarithm (N, C) of the optimal transport plan from samples to classes.

    A plan is a matrix (N, C): entry (n, c) is the mass that goes from sample n to class c. All samples have equal mass,
    and all classes have equal mass. The optimal plan minimizes its total cost minus `reg` times its entropy.

    The rows of the plan sum to 1/N. The columns sum to 1/C up to an error of `tol` in the Euclidean norm, unless
    `max_iter` sweeps are reached first (Cuturi 2013). The sweeps are those of POT's `ot.sinkhorn` with uniform
    marginals. Every tenth sweep is computed on logarithms and includes the scaling of the nine sweeps before (Schmitzer
    2019), so that any `reg` above 0 works.

    Parameters
    ----------
    cost : (N, C) cost of moving a unit of mass from each sample to each class.
    reg : weight of the entropy.
    max_iter : largest number of sweeps.
    tol : largest error of the column sums.

    Raises
    ------
    ValueError
        The cost is not finite, not of shape (N, C) or empty, or `reg` is not above 0.
    """
    cost = np.asarray(cost, np.float64)
    if cost.ndim != 2 or cost.size == 0 or not np.isfinite(cost).all():
        raise ValueError(f"Expected finite costs of shape (N, C) with N, C > 0, but got shape {cost.shape}")
    if not reg > 0:
        raise ValueError(f"Expected reg above 0, but got {reg}")
    gain = -cost / reg
    per_row, per_column = (1 / size for size in cost.shape)
    rows: Floats = np.zeros((len(cost), 1))
    columns: Floats = np.zeros((1, cost.shape[1]))
    for done in range(0, max_iter, EVERY):
        columns = math.log(per_column) - _log_sum(gain + rows, 0)
        rows = math.log(per_row) - _log_sum(gain + columns, 1)
        kernel = _exp(gain + rows + columns)
        if np.linalg.norm(kernel.sum(0) - per_column) < tol:
            break
        by_row, by_column = np.ones(len(cost)), np.ones(cost.shape[1])
        for _ in range(min(EVERY, max_iter - done) - 1):
            by_column = per_column / (by_row @ kernel)
            by_row = per_row / (kernel @ by_column)
        rows, columns = rows + np.log(by_row)[:, None], columns + np.log(by_column)
    return gain + rows + columns


def _exp(values: Floats) -> Floats:
    """Return the exponentials; 0 for values of at most `LEAST`."""
    return np.where(values > LEAST, np.exp(np.maximum(values, LEAST)), 0.0)


def _log_sum(values: Floats, axis: int) -> Floats:
    """Return the logarithm of the sum of exponentials along an axis, which is kept with the length 1."""
    top = values.max(axis, keepdims=True)
    total: Floats = top + np.log(_exp(values - top).sum(axis, keepdims=True))
    return total
