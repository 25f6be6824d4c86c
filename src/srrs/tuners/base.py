"""The base class of tuners, and the classifiers that they export.

B rows of a batch, C classes, D feature size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from srrs.models.base import TextTower
from srrs.records import Batch

LEARNING_RATE = 0.4
"""Learning rate of a tuner that names none: the one of the prompts."""


@dataclass(frozen=True)
class Foundation:
    """The frozen model and the classes that a tuner starts from."""

    class_names: tuple[str, ...]
    """(C,)"""
    feature_size: int
    """D."""
    logit_scale: float
    """Multiplies the cosine of an image and a class."""
    device: torch.device
    text: TextTower | None = None
    """None if there is no text tower."""
    class_vectors: Tensor | None = None
    """(C, D) unit vectors of the untuned classes; None if only the labels tell the classes apart."""
    described_vectors: Tensor | None = None
    """(C, D) unit vectors of the described classes."""
    descriptions: tuple[str | None, ...] = ()
    """(C,) a description of each class; None where there is none."""
    generator: torch.Generator = field(default_factory=torch.Generator)
    """The source of every random number of this tuner."""


class Classifier(Protocol):
    """Anything that turns a batch into logits (B, C)."""

    def __call__(self, batch: Batch) -> Tensor: ...


@dataclass(frozen=True)
class Head:
    """A linear classifier over unit-length features: `scale * features @ weights.T + bias`."""

    weights: Tensor
    """(C, D)"""
    scale: float
    bias: Tensor | None = None
    """(C,) or None for no bias."""

    def __call__(self, batch: Batch) -> Tensor:
        """Return the logits (B, C)."""
        logits = features_of(batch) @ (self.scale * self.weights).T
        return logits if self.bias is None else logits + self.bias


class Average:
    """The mean of several classifiers' logits."""

    def __init__(self, parts: Sequence[Classifier]):
        self.parts = tuple(parts)

    def __call__(self, batch: Batch) -> Tensor:
        """Return the logits (B, C)."""
        return torch.stack([part(batch) for part in self.parts]).mean(0)


class Frozen:
    """A tuner as a classifier: in evaluation mode and without gradients."""

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
    """A classifier with a few learned parameters over a frozen model.

    A subclass takes a `Foundation` and its own options, sets its parameters, and must define `logits`. If it is linear
    in the features it should override `export`, because evidence, prediction and ONNX then need a single matrix.
    """

    needs: Literal["features", "pixels"] = "features"
    """The inputs that `logits` reads."""
    learning_rate: float = LEARNING_RATE
    """Learning rate of gradient descent with momentum 0.9, with cosine decay over the run."""
    corrects_vectors: bool = False
    """Whether it starts from class vectors, and needs some."""
    text_passes: int = 0
    """Text passes per training step."""
    steps: bool = True
    """False for a tuner that `fit` brings to convergence once the others have taken their steps."""

    def logits(self, batch: Batch) -> Tensor:
        """Return logits (B, C); gradients flow to the parameters."""
        raise NotImplementedError(f"{type(self).__name__} must define logits(batch)")

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the parameters with their learning rates, as `torch.optim` takes them."""
        return [{"params": list(self.parameters()), "lr": self.learning_rate}]

    def fit(self, features: Tensor, soft: Tensor, weight: Tensor) -> None:
        """Compute the parameters from features (N, D), targets (N, C) and sample weights (N,)."""
        raise NotImplementedError(f"{type(self).__name__} is trained in steps")

    def export(self) -> Classifier:
        """Return the classifier as it is, without gradients: a `Head` if it is linear, else `Frozen`."""
        return Frozen(self)


def features_of(batch: Batch) -> Tensor:
    """Return the features (B, D) of a batch. Raises ValueError if it has only pixels."""
    if batch.features is None:
        raise ValueError("expected a batch with features, but it holds only pixels")
    return batch.features


def average(classifiers: Sequence[Classifier]) -> Classifier:
    """Return a classifier with the mean of all logits: one `Head` if each of them is a `Head`."""
    heads = [part for part in classifiers if isinstance(part, Head)]
    if len(heads) < len(classifiers):
        return classifiers[0] if len(classifiers) == 1 else Average(classifiers)
    scale = heads[0].scale
    weights = torch.stack([head.weights * (head.scale / scale) for head in heads]).mean(0)
    if all(head.bias is None for head in heads):
        return Head(weights, scale)
    biases = [weights.new_zeros(len(weights)) if head.bias is None else head.bias for head in heads]
    return Head(weights, scale, torch.stack(biases).mean(0))
