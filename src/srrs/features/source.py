"""The protocol of a view source, which provides the training batches and the features for screening.

N samples, n of them at given positions, k views of a batch, D feature size.
"""

from typing import Protocol

import torch
from torch import Tensor

from srrs.records import Batch, Floats, Ints, Keys


class ViewSource(Protocol):
    """A source of N samples. Each sample has a plain view (view 0) and augmented views (1, 2, ...)."""

    @property
    def keys(self) -> Keys:
        """Return the content keys (N,). Random draws depend on the keys, not on the order of the samples."""
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
        """Return the number of augmented views of each sample; None if every step makes new crops."""
        ...

    def batch(self, rows: Ints, views: Ints) -> Batch:
        """Return views (n, k) of the samples at the positions `rows` (n,) as n * k inputs on the device.

        The k views of a sample are consecutive.
        """
        ...

    def mean_view(self, rows: slice | Ints) -> Tensor:
        """Return the mean (n, D) of the features over all cached views, on the device, without normalization.

        A linear classifier maps this mean to the mean of the logits of all views.
        """
        ...

    def unit_features(self) -> Floats:
        """Return the mean over all cached views, scaled to unit length: (N, D)."""
        ...
