"""Logistic regression on the image features, trained to convergence with a penalty chosen out of fold."""

import torch
from torch import Tensor, nn

from srrs.records import Batch
from srrs.tuners.base import Foundation, Head, Tuner, features_of
from srrs.tuners.logistic import Rows, fitted


class LogisticProbe(Tuner):
    """L2-regularized logistic regression, solved by L-BFGS.

    The penalty is the one whose out-of-fold predictions fit the targets best. Folds are drawn with the tuner's own
    generator.
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
        """Choose the penalty out of fold, then solve on all rows: features (N, D), targets (N, C), weights (N,)."""
        solution = fitted(Rows(features, soft, weight), self.generator)
        with torch.no_grad():
            self.weight.copy_(solution.weight)
            self.bias.copy_(solution.bias)

    def export(self) -> Head:
        """Return the weights and the bias at a scale of 1."""
        return Head(self.weight.detach().clone(), 1.0, self.bias.detach().clone())
