"""TaskRes: fixed class vectors plus a learned residual. B rows of a batch, C classes, D feature size."""

import torch
from torch import Tensor, nn

from srrs.errors import SettingsError
from srrs.records import Batch
from srrs.tuners.base import LEARNING_RATE, Foundation, Head, Tuner, features_of


class TaskResidual(Tuner):
    """Class vectors plus a residual that starts at zero (TaskRes, Yu et al. 2023).

    The published method multiplies the residual by 0.5, adds it to the class vectors, and trains it with Adam. Here the
    logits are the sum of the untuned logits and the logits of a linear probe, which has the learning rate of
    `LinearProbe`.

    Parameters
    ----------
    foundation : the frozen model and the classes.
    described : whether to start from the vectors of the described classes, if there are any.

    Raises
    ------
    SettingsError
        There are no class vectors to start from.
    """

    corrects_vectors = True
    base: Tensor

    def __init__(self, foundation: Foundation, *, described: bool = False):
        super().__init__()
        base = foundation.described_vectors if described else None
        base = foundation.class_vectors if base is None else base
        if base is None:
            raise SettingsError(
                "The tuner task-residual starts from class vectors, but there are none: give a model with a text "
                "tower, or class vectors beside the embeddings."
            )
        self.register_buffer("base", base.detach().clone(), persistent=False)
        self.scale = foundation.logit_scale
        self.residual = nn.Parameter(torch.zeros_like(self.base))
        self.learning_rate = LEARNING_RATE * len(base)

    def logits(self, batch: Batch) -> Tensor:
        """Return the logits (B, C)."""
        return features_of(batch) @ (self.scale * self.base + self.residual).T

    def export(self) -> Head:
        """Return a `Head` with one matrix (C, D) and the logit scale of the model."""
        return Head(self.base + self.residual.detach() / self.scale, self.scale)
