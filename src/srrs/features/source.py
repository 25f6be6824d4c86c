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
        """(N,) content keys; every random draw is keyed by them, so that the order of the rows never matters."""
        ...

    @property
    def feature_size(self) -> int:
        """D."""
        ...

    @property
    def device(self) -> torch.device:
        """Where batches lie."""
        ...

    @property
    def augmented(self) -> int | None:
        """Augmented views of each sample; None where each view number gives a fresh crop."""
        ...

    def batch(self, rows: Ints, views: Ints) -> Batch:
        """The views (n, k) of the rows (n,), as n * k inputs on the device: the views of a row lie side by side."""
        ...

    def mean_view(self, rows: slice | Ints) -> Tensor:
        """(n, D) mean of the features over all cached views, on the device, not brought to unit length.

        The logits of a linear classifier on it are the mean of the views' logits.
        """
        ...

    def unit_features(self) -> Floats:
        """(N, D) unit-length features, the mean over all cached views."""
        ...
