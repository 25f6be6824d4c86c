"""Linear classifiers trained by L-BFGS, for any loss of their logits. N samples, C classes, D feature size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srrs.core.keyed import Keys, folds

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

ITERATIONS = 300
"""Enough for logistic regression to converge."""


@dataclass(frozen=True)
class LinearClassifier:
    """`(features - center) / spread @ weight.T + bias`."""

    weight: Tensor
    """(C, D)"""
    bias: Tensor
    """(C,)"""
    center: Floats
    """(D,) mean of the features it was fitted to."""
    spread: float
    """Root mean square length of those features about their center."""

    def logits(self, features: Floats) -> Floats:
        """Return the logits (M, C) of features (M, D)."""
        x = torch.from_numpy((np.asarray(features, np.float64) - self.center) / self.spread).to(self.weight)
        return np.asarray((x @ self.weight.T + self.bias).numpy())


def fit_linear(
    features: Floats,
    classes: int,
    loss: Callable[[Tensor], Tensor],
    *,
    strength: float = 3.0,
    extra: Sequence[Tensor] = (),
    dtype: torch.dtype = torch.float64,
    iterations: int = ITERATIONS,
    adam: float | None = None,
) -> LinearClassifier:
    """Minimize `loss(logits (N, C)) + |weight|² / (2 strength)` for features (N, D).

    `loss` is a sum over the samples, so `strength` is scikit-learn's C, for features scaled to unit variance in sum.
    `extra` are tensors that the loss depends on and that are fitted along with the weights. With `adam`, the iterations
    are steps of Adam at that rate instead of L-BFGS, for a loss that is not bounded below.
    """
    features = np.asarray(features, np.float64)
    center = features.mean(0)
    spread = float(np.sqrt(((features - center) ** 2).sum(1).mean())) + 1e-12
    x = torch.from_numpy((features - center) / spread).to(dtype)
    weight = torch.zeros(classes, features.shape[1], dtype=dtype, requires_grad=True)
    bias = torch.zeros(classes, dtype=dtype, requires_grad=True)
    parameters = [weight, bias, *extra]
    optimizer: torch.optim.Optimizer = (
        torch.optim.Adam(parameters, adam)
        if adam
        else torch.optim.LBFGS(
            parameters, max_iter=iterations, history_size=20, tolerance_grad=1e-5, line_search_fn="strong_wolfe"
        )
    )

    def objective() -> float:
        optimizer.zero_grad()
        total = loss(x @ weight.T + bias) + weight.square().sum() / (2 * strength)
        total.backward()  # type: ignore[no-untyped-call]
        return float(total.detach())

    for _ in range(iterations if adam else 1):  # one step of L-BFGS runs all its iterations
        optimizer.step(objective)
    return LinearClassifier(weight.detach(), bias.detach(), center, spread)


def soft_loss(soft: Floats) -> Callable[[Tensor], Tensor]:
    """Return the summed cross-entropy with targets (N, C), which need not sum to 1 in each row."""
    targets = torch.from_numpy(np.asarray(soft, np.float64))
    return lambda logits: -(targets.to(logits) * logits.log_softmax(1)).sum()


def corrected_loss(labels: Ints, matrix: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the summed forward-corrected loss `-log (softmax(logits) T)_y` (Patrini et al. 2017), T (C, C)."""
    columns = torch.from_numpy(np.asarray(labels, np.int64))
    return lambda logits: -(logits.softmax(1) * matrix.to(logits).T[columns]).sum(1).clamp(min=1e-30).log().sum()


def out_of_fold_logits(
    features: Floats,
    keys: Keys,
    order: Ints,
    classes: int,
    fit: Callable[[Ints], LinearClassifier],
    *,
    fold_count: int = 5,
    seed: int = 0,
) -> Floats:
    """Return logits (N, C) of classifiers that were fitted to all other folds. Folds are drawn by key.

    `fit(rows)` gets the rows of the other folds in the given `order` (N,) of the samples. In a single fold, all logits
    are 0.
    """
    fold = folds(keys, fold_count, seed)
    logits = np.zeros((len(keys), classes))
    numbers = np.unique(fold)
    for number in numbers if len(numbers) > 1 else []:
        held = fold == number
        logits[held] = fit(order[fold[order] != number]).logits(features[held])
    return logits
