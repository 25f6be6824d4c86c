"""Logistic regression on the image features, trained to convergence with a penalty chosen out of fold."""

import torch
from torch import Tensor, nn

from srrs.records import Batch
from srrs.tuners.base import Foundation, Head, Tuner, features_of

PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0)
"""Inverse penalties (scikit-learn's C) that are tried."""
FOLDS = 5


class LogisticProbe(Tuner):
    """L2-regularised logistic regression, solved by L-BFGS.

    The penalty is the one of `PENALTIES` whose out-of-fold predictions fit the targets best. Folds are drawn with the
    tuner's own generator.
    """

    steps = False

    def __init__(self, foundation: Foundation):
        super().__init__()
        classes = len(foundation.class_names)
        self.weight = nn.Parameter(torch.zeros(classes, foundation.feature_size, device=foundation.device))
        self.bias = nn.Parameter(torch.zeros(classes, device=foundation.device))
        self.generator = foundation.generator

    def logits(self, batch: Batch) -> Tensor:
        """Logits (B, C)."""
        return features_of(batch) @ self.weight.T + self.bias

    def fit(self, features: Tensor, soft: Tensor, weight: Tensor) -> None:
        """Choose the penalty out of fold, then solve on all rows: features (N, D), targets (N, C), weights (N,)."""
        fold = torch.randint(FOLDS, (len(features),), generator=self.generator).to(features.device)
        losses = [self._held_out_loss(features, soft, weight, fold, penalty) for penalty in PENALTIES]
        best = PENALTIES[int(torch.tensor(losses).argmin())]
        solution = solve(features, soft, weight, best)
        with torch.no_grad():
            self.weight.copy_(solution[:, :-1])
            self.bias.copy_(solution[:, -1])

    def _held_out_loss(self, features: Tensor, soft: Tensor, weight: Tensor, fold: Tensor, penalty: float) -> float:
        """Weighted cross-entropy of the folds that were not seen."""
        total = 0.0
        for number in range(FOLDS):
            held = fold == number
            if not held.any() or held.all():
                continue
            solution = solve(features[~held], soft[~held], weight[~held], penalty)
            predicted = (with_bias(features[held]) @ solution.T).log_softmax(1)
            total -= float((weight[held] * (soft[held] * predicted).sum(1)).sum())
        return total

    def export(self) -> Head:
        """Weights and bias at a scale of 1."""
        return Head(self.weight.detach(), 1.0, self.bias.detach())


def solve(features: Tensor, soft: Tensor, weight: Tensor, penalty: float, iterations: int = 300) -> Tensor:
    """Weights and bias (C, D + 1) that minimize `penalty * weighted cross-entropy + |weights|^2 / 2`.

    The same objective as scikit-learn's `LogisticRegression(C=penalty)`, with soft targets (N, C).
    """
    inputs = with_bias(features).double()
    targets, rows = soft.double(), weight.double()
    solution = torch.zeros(soft.shape[1], inputs.shape[1], dtype=torch.float64, device=features.device)
    solution.requires_grad_(True)
    solver = torch.optim.LBFGS(
        [solution], max_iter=iterations, tolerance_grad=1e-6, tolerance_change=1e-10, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        solver.zero_grad()
        loss = -(rows * (targets * (inputs @ solution.T).log_softmax(1)).sum(1)).sum()
        total = penalty * loss + 0.5 * solution[:, :-1].square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    solver.step(objective)  # type: ignore[no-untyped-call]
    return solution.detach().float()


def with_bias(features: Tensor) -> Tensor:
    """(N, D + 1): the features and a column of ones."""
    return torch.cat([features, features.new_ones(len(features), 1)], 1)
