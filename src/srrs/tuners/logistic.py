"""L2-regularized logistic regression by L-BFGS, alone or as a correction of the logits of another classifier.

N samples, C classes, D feature size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Candidates for the inverse penalty (the parameter C of scikit-learn), the strongest penalty first."""
FOLDS = 3
"""Number of folds of the cross-validation."""
SEARCHED = 5_000
"""Largest number of samples on which the penalty is chosen: the first ones. All penalties and folds need over twenty
fits."""
ITERATIONS = 300
"""Largest number of L-BFGS iterations of a fit."""
ROUGHLY = 1e-4
"""Tolerance of the fits that only compare penalties."""


@dataclass(frozen=True)
class Rows:
    """The training data: N samples with soft targets."""

    features: Tensor
    """(N, D)"""
    soft: Tensor
    """(N, C) target probabilities."""
    weight: Tensor
    """(N,) weight of each sample."""
    offset: Tensor | None = None
    """(N, C) logits to which the solution adds its own, after multiplication by a learned temperature; None for plain
    logistic regression."""

    def part(self, chosen: Tensor | slice) -> "Rows":
        """Return the chosen samples."""
        offset = None if self.offset is None else self.offset[chosen]
        return Rows(self.features[chosen], self.soft[chosen], self.weight[chosen], offset)


@dataclass(frozen=True)
class Solution:
    """A fitted classifier with the logits `temperature * offset + features @ weight.T + bias`, in double precision."""

    weight: Tensor
    """(C, D)"""
    bias: Tensor
    """(C,)"""
    temperature: Tensor
    """Factor of the offset, a scalar."""

    def loss(self, rows: Rows) -> Tensor:
        """Return the weighted cross-entropy with the targets, summed over the samples."""
        logits = rows.features.double() @ self.weight.T + self.bias
        if rows.offset is not None:
            logits = logits + self.temperature * rows.offset.double()
        return -(rows.weight.double() * (rows.soft.double() * logits.log_softmax(1)).sum(1)).sum()


def calibrated(rows: Rows) -> Tensor:
    """Return the probabilities (N, C) of the offset alone, at the temperature that predicts the targets best.

    The temperature is at least 0. At 0, all classes are equally probable: such an offset contains nothing about the
    targets.

    Raises
    ------
    ValueError
        The rows have no offset.
    """
    if rows.offset is None:
        raise ValueError("expected rows with an offset")
    offset, soft, weight = rows.offset.double(), rows.soft.double(), rows.weight.double()
    temperature = offset.new_ones(()).requires_grad_(True)
    solver = torch.optim.LBFGS([temperature], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        solver.zero_grad()
        per_sample = (soft * (temperature * offset).log_softmax(1)).sum(1)
        mean = -(weight * per_sample).sum() / weight.sum().clamp(min=1e-12)
        mean.backward()  # type: ignore[no-untyped-call]
        return mean

    solver.step(objective)  # type: ignore[no-untyped-call]
    return (temperature.detach().clamp(min=0) * offset).softmax(1)


def fitted(rows: Rows, generator: torch.Generator) -> Solution:
    """Choose the penalty from `PENALTIES` by cross-validation, and return the solution for all samples.

    `generator` draws the folds.
    """
    return solve(rows, best_penalty(rows.part(slice(SEARCHED)), generator))


def best_penalty(rows: Rows, generator: torch.Generator) -> float:
    """Return the inverse penalty with the smallest cross-validated loss.

    The search starts with the strongest penalty and ends when the loss rises, because fits with weak penalties take the
    most iterations. Each fit starts from the solution for the previous penalty.
    """
    fold = torch.randint(FOLDS, (len(rows.features),), generator=generator).to(rows.features.device)
    splits = [(rows.part(fold != number), rows.part(fold == number)) for number in range(FOLDS)]
    splits = [(seen, held) for seen, held in splits if len(seen.features) and len(held.features)]
    solutions: list[Solution | None] = [None] * len(splits)
    best, least = PENALTIES[0], float("inf")
    for penalty in PENALTIES:
        solutions = [solve(seen, penalty, start, ROUGHLY) for (seen, _), start in zip(splits, solutions, strict=True)]
        loss = sum(float(each.loss(held)) for each, (_, held) in zip(solutions, splits, strict=True) if each)
        if loss > least:
            break
        best, least = penalty, loss
    return best


def solve(rows: Rows, penalty: float, start: Solution | None = None, tolerance: float = 1e-7) -> Solution:
    """Minimize `penalty * weighted cross-entropy + |weight|^2 / 2` over weight, bias and temperature.

    Without an offset, this is the objective of scikit-learn's `LogisticRegression(C=penalty)`, with soft targets. The
    solver starts from `start` if it is given, else from zero. It stops when no entry of the gradient of the mean loss
    exceeds `tolerance`.
    """
    start = start or _zero(rows)
    found = Solution(*(part.clone().requires_grad_(True) for part in (start.weight, start.bias, start.temperature)))
    free = [found.weight, found.bias] + ([] if rows.offset is None else [found.temperature])
    total = (penalty * rows.weight.double().sum()).clamp(min=1e-12)
    solver = torch.optim.LBFGS(
        free, max_iter=ITERATIONS, tolerance_grad=tolerance, tolerance_change=0, line_search_fn="strong_wolfe"
    )
    exact = Rows(
        rows.features.double(), rows.soft.double(), rows.weight.double(),
        None if rows.offset is None else rows.offset.double(),
    )  # fmt: skip

    def objective() -> Tensor:
        solver.zero_grad()
        mean = (penalty * found.loss(exact) + 0.5 * found.weight.square().sum()) / total
        mean.backward()  # type: ignore[no-untyped-call]
        return mean

    solver.step(objective)  # type: ignore[no-untyped-call]
    return Solution(found.weight.detach(), found.bias.detach(), found.temperature.detach())


def _zero(rows: Rows) -> Solution:
    """Return the solution whose logits are those of the offset: weight and bias 0, temperature 1."""
    make, classes = rows.features.double().new_zeros, rows.soft.shape[1]
    return Solution(make(classes, rows.features.shape[1]), make(classes), make(()) + 1.0)
