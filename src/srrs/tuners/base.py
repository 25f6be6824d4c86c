"""The base class of tuners, and the classifiers that they export.

B rows of a batch, N samples, C classes, D feature size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from srrs.models.base import TextTower
from srrs.records import Batch

LEARNING_RATE = 0.4
"""Default learning rate of a tuner, which is that of the prompts."""


@dataclass(frozen=True)
class Foundation:
    """The frozen model and the classes from which a tuner starts."""

    class_names: tuple[str, ...]
    """(C,) names of the classes."""
    feature_size: int
    """Feature size D."""
    logit_scale: float
    """Factor from the cosine of an image feature and a class vector to the logit."""
    device: torch.device
    text: TextTower | None = None
    """The text tower; None if there is none."""
    class_vectors: Tensor | None = None
    """(C, D) unit vectors of the untuned classes; None without a text tower and without given class vectors."""
    described_vectors: Tensor | None = None
    """(C, D) unit vectors of the described classes; None if there are none."""
    descriptions: tuple[str | None, ...] = ()
    """(C,) the description of each class; None for a class without one."""
    generator: torch.Generator = field(default_factory=torch.Generator)
    """The source of every random number of this tuner."""


class Classifier(Protocol):
    """A function from a batch to logits (B, C)."""

    def __call__(self, batch: Batch) -> Tensor: ...


@dataclass(frozen=True)
class Head:
    """A linear classifier of unit-length features with the logits `scale * features @ weights.T + bias`."""

    weights: Tensor
    """(C, D)"""
    scale: float
    """Logit scale."""
    bias: Tensor | None = None
    """(C,) or None for no bias."""

    def __call__(self, batch: Batch) -> Tensor:
        """Return the logits (B, C)."""
        logits = features_of(batch) @ (self.scale * self.weights).T
        return logits if self.bias is None else logits + self.bias


class Average:
    """A classifier whose logits are the mean of the logits of several classifiers."""

    def __init__(self, parts: Sequence[Classifier]):
        self.parts = tuple(parts)

    def __call__(self, batch: Batch) -> Tensor:
        """Return the logits (B, C)."""
        return torch.stack([part(batch) for part in self.parts]).mean(0)


class Frozen:
    """A classifier that computes the logits of a tuner, in evaluation mode and without gradients."""

    def __init__(self, tuner: "Tuner"):
        self.tuner = tuner

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Tensor:
        """Return the logits (B, C)."""
        training = self.tuner.training
        self.tuner.eval()
        try:
            return self.tuner.logits(batch)
        finally:
            self.tuner.train(training)


class Tuner(nn.Module):
    """A classifier with a few learned parameters on top of a frozen model.

    The constructor of a subclass takes a `Foundation` and its own options, and makes the parameters. A subclass must
    define `logits`. A subclass that is linear in the features should override `export` and return a `Head`. Then
    screening, prediction and ONNX need only one matrix.
    """

    needs: Literal["features", "pixels"] = "features"
    """The inputs that `logits` reads."""
    learning_rate: float = LEARNING_RATE
    """Learning rate of gradient descent with momentum 0.9. It decays to zero along a cosine over the run."""
    corrects_vectors: bool = False
    """Whether the tuner starts from class vectors. Such a tuner cannot be used without class vectors."""
    text_passes: int = 0
    """Number of text passes per training step."""
    steps: bool = True
    """Whether the tuner is trained in steps. If False, `fit` is called after the steps of the other tuners."""

    def logits(self, batch: Batch) -> Tensor:
        """Return the logits (B, C) of a batch. Gradients flow to the parameters."""
        raise NotImplementedError(f"{type(self).__name__} must define logits(batch)")

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return groups of parameters with their learning rates, in the form of `torch.optim`."""
        return [{"params": list(self.parameters()), "lr": self.learning_rate}]

    def departure(self) -> Tensor:
        """Return how far the parameters are from their initial values, as a scalar with gradients; 0 by default.

        The departure times `Method.anchor` is the negative logarithm of a prior on the parameters.
        """
        return torch.zeros(())

    def fit(self, features: Tensor, soft: Tensor, weight: Tensor) -> None:
        """Compute the parameters from features (N, D), soft targets (N, C) and sample weights (N,)."""
        raise NotImplementedError(f"{type(self).__name__} is trained in steps")

    def export(self) -> Classifier:
        """Return a classifier with the current parameters, without gradients: a `Head` if linear, else `Frozen`."""
        return Frozen(self)


def features_of(batch: Batch) -> Tensor:
    """Return the features (B, D) of a batch. Raises ValueError if it contains only pixels."""
    if batch.features is None:
        raise ValueError("expected a batch with features, but it holds only pixels")
    return batch.features


def average(classifiers: Sequence[Classifier]) -> Classifier:
    """Return a classifier with the mean logits of several classifiers. It is a `Head` if all of them are `Head`s."""
    heads = [part for part in classifiers if isinstance(part, Head)]
    if len(heads) < len(classifiers):
        return classifiers[0] if len(classifiers) == 1 else Average(classifiers)
    scale = heads[0].scale
    weights = torch.stack([head.weights * (head.scale / scale) for head in heads]).mean(0)
    if all(head.bias is None for head in heads):
        return Head(weights, scale)
    biases = [weights.new_zeros(len(weights)) if head.bias is None else head.bias for head in heads]
    return Head(weights, scale, torch.stack(biases).mean(0))
