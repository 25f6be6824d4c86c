"""Logistic regression on the image features, trained to convergence with a penalty chosen out of fold."""

import torch
from torch import Tensor, nn

from srrs.records import Batch
from srrs.tuners.base import Foundation, Head, Tuner, features_of

PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0)
"""Inverse penalties (scikit-learn's C) that are tried."""
FOLDS = 5
ITERATIONS = 300
ROUGHLY = 1e-5
"""Tolerance of the solutions that only compare penalties."""


class LogisticProbe(Tuner):
    """L2-regularized logistic regression, solved by L-BFGS.

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
        best = PENALTIES[int(self._held_out_losses(features, soft, weight).argmin())]
        solution = solve(features, soft, weight, best)
        with torch.no_grad():
            self.weight.copy_(solution[:, :-1])
            self.bias.copy_(solution[:, -1])

    def _held_out_losses(self, features: Tensor, soft: Tensor, weight: Tensor) -> Tensor:
        """Weighted cross-entropy of the rows out of fold, at each of `PENALTIES`."""
        fold = torch.randint(FOLDS, (len(features),), generator=self.generator).to(features.device)
        losses = torch.zeros(len(PENALTIES), dtype=torch.float64)
        for number in range(FOLDS):
            held = fold == number
            if not held.any() or held.all():
                continue
            seen, solution = ~held, None
            for at, penalty in enumerate(PENALTIES):  # each solution starts from the one before
                solution = solve(features[seen], soft[seen], weight[seen], penalty, solution, ROUGHLY)
                predicted = (with_bias(features[held]) @ solution.T).log_softmax(1)
                losses[at] -= float((weight[held] * (soft[held] * predicted).sum(1)).sum())
        return losses

    def export(self) -> Head:
        """Weights and bias at a scale of 1."""
        return Head(self.weight.detach().clone(), 1.0, self.bias.detach().clone())


def solve(
    features: Tensor,
    soft: Tensor,
    weight: Tensor,
    penalty: float,
    start: Tensor | None = None,
    tolerance: float = 1e-7,
) -> Tensor:
    """Weights and bias (C, D + 1) that minimize `penalty * weighted cross-entropy + |weights|^2 / 2`.

    The same objective as scikit-learn's `LogisticRegression(C=penalty)`, with soft targets (N, C). `start` is a guess;
    the solver stops where no entry of the gradient of the mean loss exceeds `tolerance`.
    """
    inputs = with_bias(features).double()
    targets, rows = soft.double(), weight.double()
    if start is None:
        start = inputs.new_zeros(soft.shape[1], inputs.shape[1])
    solution = start.to(torch.float64, copy=True).requires_grad_(True)
    total_weight = (penalty * rows.sum()).clamp(min=1e-12)
    solver = torch.optim.LBFGS(
        [solution], max_iter=ITERATIONS, tolerance_grad=tolerance, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        solver.zero_grad()
        loss = -(rows * (targets * (inputs @ solution.T).log_softmax(1)).sum(1)).sum()
        mean = (penalty * loss + 0.5 * solution[:, :-1].square().sum()) / total_weight
        mean.backward()  # type: ignore[no-untyped-call]
        return mean

    solver.step(objective)  # type: ignore[no-untyped-call]
    return solution.detach().float()


def with_bias(features: Tensor) -> Tensor:
    """(N, D + 1): the features and a column of ones."""
    return torch.cat([features, features.new_ones(len(features), 1)], 1)
