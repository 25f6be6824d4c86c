"""Linear classifiers trained by L-BFGS or Adam, for any loss of their logits.

N samples, C classes, D feature size.
"""

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
"""Largest number of iterations. Logistic regression converges before."""


@dataclass(frozen=True)
class LinearClassifier:
    """A linear classifier with the logits `(features - center) / spread @ weight.T + bias`."""

    weight: Tensor
    """(C, D)"""
    bias: Tensor
    """(C,)"""
    center: Floats
    """(D,) mean of the training features."""
    spread: float
    """Root mean square distance of the training features from their mean."""

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
    """Minimize `loss(logits (N, C)) + |weight|² / (2 strength)` for features (N, D), and return the classifier.

    The features are centered, and scaled such that the sum of their variances is 1.

    Parameters
    ----------
    features : (N, D).
    classes : C.
    loss : function from logits (N, C) to a scalar, the sum of the losses of the samples.
    strength : parameter C of scikit-learn's logistic regression.
    extra : further tensors that the loss depends on. They are fitted together with the weights.
    dtype : precision of the fit.
    iterations : number of iterations.
    adam : None for L-BFGS; otherwise the learning rate of Adam, for a loss without a lower bound.
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
    """Return the cross-entropy with targets (N, C), summed over the samples. Rows of the targets need not sum to 1."""
    targets = torch.from_numpy(np.asarray(soft, np.float64))
    return lambda logits: -(targets.to(logits) * logits.log_softmax(1)).sum()


def corrected_loss(labels: Ints, matrix: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the forward-corrected loss `-log (softmax(logits) T)_y`, summed over the samples (Patrini et al. 2017).

    T (C, C) is the transition matrix `matrix`, and y the given label (`labels`, (N,)).
    """
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
    """Return out-of-fold logits (N, C).

    Each fold is predicted by a classifier that is fitted to all other folds. Folds are drawn by `keys` (N,) and `seed`.
    `fit(rows)` must return a classifier that is fitted to the samples at the positions `rows`. `order` (N,) is a
    permutation of the samples, and the positions come in this order. If there is only one fold, all logits are 0.
    """
    fold = folds(keys, fold_count, seed)
    logits = np.zeros((len(keys), classes))
    numbers = np.unique(fold)
    for number in numbers if len(numbers) > 1 else []:
        held = fold == number
        logits[held] = fit(order[fold[order] != number]).logits(features[held])
    return logits
