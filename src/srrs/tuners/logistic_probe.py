"""Logistic regression on the image features, fitted to convergence, with a penalty chosen by cross-validation."""

import torch
from torch import Tensor, nn

from srrs.records import Batch
from srrs.tuners.base import Foundation, Head, Tuner, features_of
from srrs.tuners.logistic import Rows, fitted


class LogisticProbe(Tuner):
    """L2-regularized logistic regression, solved by L-BFGS.

    Cross-validation chooses the penalty. The folds are drawn with the generator of the tuner.
    """

    steps = False

    def __init__(self, foundation: Foundation):
        super().__init__()
        classes = len(foundation.class_names)
        self.weight = nn.Parameter(torch.zeros(classes, foundation.feature_size, device=foundation.device))
        self.bias = nn.Parameter(torch.zeros(classes, device=foundation.device))
        self.generator = foundation.generator

    def logits(self, batch: Batch) -> Tensor:
        """Return the logits (B, C)."""
        return features_of(batch) @ self.weight.T + self.bias

    def fit(self, features: Tensor, soft: Tensor, weight: Tensor) -> None:
        """Choose the penalty by cross-validation, then fit to features (N, D), targets (N, C) and weights (N,)."""
        solution = fitted(Rows(features, soft, weight), self.generator)
        with torch.no_grad():
            self.weight.copy_(solution.weight)
            self.bias.copy_(solution.bias)

    def export(self) -> Head:
        """Return the weights and the bias as a `Head` with a scale of 1."""
        return Head(self.weight.detach().clone(), 1.0, self.bias.detach().clone())
