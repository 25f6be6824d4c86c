"""Features that were computed before the run, by the feature store or by the user (embeddings).

N samples, n of them at given positions, V augmented views, k views of a batch, D feature size.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from srrs.core.blocks import by_blocks, is_large, single
from srrs.mapped import release, taken
from srrs.records import Batch, Features, Floats, Ints, Keys

CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class CachedFeatures:
    """A view source of cached features, which may be memory-mapped.

    A call reads only the features of its samples, and converts them to float32.
    """

    features: Features
    """The unit-length features of N samples: the plain view, and V augmented views."""
    keys: Keys
    """(N,) content keys."""
    device: torch.device = field(default=CPU)
    """Device of the batches."""

    def __post_init__(self) -> None:
        if len(self.keys) != len(self.features):
            raise ValueError(f"expected a key for each of {len(self.features)} samples, but got {len(self.keys)}")

    @property
    def feature_size(self) -> int:
        """Return the feature size D."""
        return int(self.features.plain.shape[1])

    @property
    def augmented(self) -> int:
        """Return the number V of augmented views."""
        return int(self.features.views.shape[1])

    def batch(self, rows: Ints, views: Ints) -> Batch:
        """Return views (n, k) of the samples at the positions `rows` (n,) as features (n * k, D)."""
        plain, augmented = self.features.rows(rows)
        stacked = single(np.concatenate([plain[:, None], augmented], axis=1)).to(self.device)
        sample = torch.arange(len(rows), device=self.device)[:, None]
        return Batch(features=stacked[sample, torch.from_numpy(views).to(self.device)].flatten(0, 1))

    def mean_view(self, rows: slice | Ints) -> Tensor:
        """Return the mean (n, D) over all views of the samples at the positions `rows`, without normalization."""
        if self._small_mean is not None:
            return self._small_mean[rows]
        return self._mean(rows)

    def unit_features(self) -> Floats:
        """Return the mean over all views, scaled to unit length: (N, D), float32, or float16 for very many samples.

        If very many samples have no augmented views, the result is their stored array, without a copy.
        """
        return self._unit

    @cached_property
    def _unit(self) -> Floats:
        large = is_large(len(self.keys))
        if large and not self.augmented:
            return taken(self.features.plain, self.features.at)
        kind = torch.float16 if large else torch.float32

        def unit(rows: slice) -> dict[str, Tensor]:
            return {"unit": F.normalize(self.mean_view(rows), dim=1).to(kind)}

        return by_blocks(len(self.keys), unit)["unit"]

    @cached_property
    def _small_mean(self) -> Tensor | None:
        """Return the mean (N, D) over all views of all samples; None for very many samples."""
        return None if is_large(len(self.keys)) else self._mean(slice(None))

    def _mean(self, rows: slice | Ints) -> Tensor:
        """Return the mean (n, D) over all views of the samples at the positions `rows`."""
        plain, augmented = self.features.rows(rows)
        total = single(plain).to(self.device)
        for view in range(self.augmented):
            total += single(augmented[:, view]).to(self.device)
        if is_large(len(self.keys)):
            release(self.features.plain)
            release(self.features.views)
        return total.div_(1 + self.augmented)
