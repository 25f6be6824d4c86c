"""The protocol of a view source, which gives the training batches and the features for screening.

N samples, n of them in a call, V views, D feature size.
"""

from typing import Protocol

import torch
from torch import Tensor

from srrs.records import Batch, Floats, Ints, Keys


class ViewSource(Protocol):
    """N samples with a plain view each (view 0) and augmented views (from 1 on)."""

    @property
    def keys(self) -> Keys:
        """Return the content keys (N,). They key every random draw, so the order of the rows does not matter."""
        ...

    @property
    def feature_size(self) -> int:
        """Return the feature size D."""
        ...

    @property
    def device(self) -> torch.device:
        """Return the device of the batches."""
        ...

    @property
    def augmented(self) -> int | None:
        """Return the number of augmented views of each sample; None if every view is a fresh crop."""
        ...

    def batch(self, rows: Ints, views: Ints) -> Batch:
        """Return the views (n, k) of rows (n,) as n * k inputs on the device. The views of a row follow each other."""
        ...

    def mean_view(self, rows: slice | Ints) -> Tensor:
        """Return the mean (n, D) of the features over all cached views, on the device, without normalization.

        The logits of a linear classifier on it are the mean of the views' logits.
        """
        ...

    def unit_features(self) -> Floats:
        """Return unit-length features (N, D), the mean over all cached views."""
        ...
