"""Class vectors with a residual from logistic regression, fitted to convergence with a cross-validated penalty."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from srrs.errors import SettingsError
from srrs.records import Batch
from srrs.tuners.base import Foundation, Head, Tuner
from srrs.tuners.logistic import Rows, calibrated, fitted

EXPONENT = 0.7
"""Exponent q of the generalized cross-entropy (Zhang and Sabuncu 2018), the value of that paper."""


class LogisticResidual(Tuner):
    """Logistic regression that adds a residual to the class vectors.

    The logits are `temperature * untuned + features @ residual.T + bias`, the form of TaskRes (Yu et al. 2023). L-BFGS
    solves for residual, bias and temperature. Cross-validation chooses the penalty on the residual. There is no
    learning rate, which would depend on the scale of the logits. If the class vectors predict the labels badly, the
    temperature becomes small, and the result is close to plain logistic regression.

    Wrong labels that the audit misses mostly contradict the class vectors. Therefore each sample has the weight p^q,
    where p is the calibrated probability that the class vectors give to its target. At the untuned classifier, the
    gradient is then that of the generalized cross-entropy, but the objective stays convex.

    Raises
    ------
    SettingsError
        There are no class vectors to start from.
    """

    steps = False
    corrects_vectors = True
    vectors: Tensor

    def __init__(self, foundation: Foundation):
        super().__init__()
        vectors = foundation.class_vectors
        if vectors is None:
            raise SettingsError(
                "The tuner logistic-residual starts from class vectors, but there are none: give a model with a text "
                "tower, or class vectors beside the embeddings."
            )
        self.register_buffer("vectors", vectors.detach().clone(), persistent=False)
        self.scale = foundation.logit_scale
        self.temperature = nn.Parameter(torch.ones((), device=vectors.device))
        self.residual = nn.Parameter(torch.zeros_like(self.vectors))
        self.bias = nn.Parameter(torch.zeros(len(vectors), device=vectors.device))
        self.generator = foundation.generator

    def logits(self, batch: Batch) -> Tensor:
        """Return the logits (B, C)."""
        return self._head()(batch)

    def fit(self, features: Tensor, soft: Tensor, weight: Tensor) -> None:
        """Choose the penalty by cross-validation, then fit to features (N, D), targets (N, C) and weights (N,)."""
        rows = Rows(features, soft, weight, self.scale * features @ self.vectors.T)
        solution = fitted(replace(rows, weight=weight * sample_weights(rows)), self.generator)
        with torch.no_grad():
            self.temperature.copy_(solution.temperature)
            self.residual.copy_(solution.weight)
            self.bias.copy_(solution.bias)

    @torch.no_grad()
    def export(self) -> Head:
        """Return a `Head` with one matrix (C, D), the logit scale of the model, and the bias."""
        return self._head()

    def _head(self) -> Head:
        """Return the present classifier."""
        return Head(self.temperature * self.vectors + self.residual / self.scale, self.scale, self.bias.clone())


def sample_weights(rows: Rows) -> Tensor:
    """Return the weight (N,) of each sample: p^q of its target, with a mean of 1 over the training weights."""
    power = (rows.soft * calibrated(rows).to(rows.soft)).sum(1) ** EXPONENT
    mean = (rows.weight * power).sum() / rows.weight.sum().clamp(min=1e-12)
    return power / mean.clamp(min=1e-12)
