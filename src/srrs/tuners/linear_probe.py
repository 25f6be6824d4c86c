"""Linear probes: class weights that are learned from the image features, without any text."""

import torch
from torch import Tensor, nn

from srrs.records import Batch
from srrs.tuners.base import LEARNING_RATE, Foundation, Head, Tuner, features_of


class LinearProbe(Tuner):
    """Logistic regression on the image features (Radford et al. 2021), trained in steps from zero.

    The learning rate is proportional to the number of classes, because the gradient of each class is inversely
    proportional to this number. With 16 images per class, the result after sixty steps is about that of L2-regularized
    logistic regression with C = 3 in scikit-learn.
    """

    def __init__(self, foundation: Foundation):
        super().__init__()
        classes = len(foundation.class_names)
        self.weight = nn.Parameter(torch.zeros(classes, foundation.feature_size, device=foundation.device))
        self.learning_rate = LEARNING_RATE * classes

    def logits(self, batch: Batch) -> Tensor:
        """Return the logits (B, C)."""
        return features_of(batch) @ self.weight.T

    def export(self) -> Head:
        """Return a `Head` with the weights and a scale of 1."""
        return Head(self.weight.detach().clone(), 1.0)
