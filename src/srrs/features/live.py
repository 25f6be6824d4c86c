"""A view source that opens the images in every step, for new crops in each step, or for tuners that need pixels.

N samples, n of them at given positions, k views of a batch, D feature size.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from srrs.data.images import WORKERS, open_rgb, quiet
from srrs.data.pictures import Picture
from srrs.features.cached import CachedFeatures
from srrs.features.crops import view_box
from srrs.features.store import input_size
from srrs.models.base import ImageTower
from srrs.records import Batch, Floats, Ints, Keys

AT_ONCE = 64
"""Number of samples whose images are opened and encoded in one pass."""


@dataclass(frozen=True, eq=False)
class LiveImages:
    """A view source that opens the images of each batch. View v is the same crop as view v of `CachedFeatures`.

    The features for screening are those of the cached views, so that they are computed only once.

    Raises
    ------
    ValueError
        The number of images differs from the number of cached samples, or a sample has several images although the
        batches contain pixels.
    """

    cached: CachedFeatures
    """Cached features of the same samples, for screening."""
    images: Sequence[Sequence[tuple[str, Picture]]]
    """(N,) the images of each sample, as pairs of a digest and an image. The draw of a crop depends on the digest, as
    in the feature store. The feature of a sample with several images is the mean of their features, scaled to unit
    length."""
    tower: ImageTower
    """The image tower that encodes the images."""
    seed: int
    """Seed of the crops."""
    pixels: bool = False
    """Whether batches contain pixels, for tuners that change the image tower. Otherwise they contain features."""

    augmented = None

    def __post_init__(self) -> None:
        if len(self.images) != len(self.cached.keys):
            raise ValueError(f"expected images of {len(self.cached.keys)} samples, but got {len(self.images)}")
        if self.pixels and any(len(shown) > 1 for shown in self.images):
            raise ValueError("expected one image of each sample, since batches of pixels cannot average several")

    @property
    def keys(self) -> Keys:
        """Return the content keys (N,)."""
        return self.cached.keys

    @property
    def feature_size(self) -> int:
        """Return the feature size D."""
        return self.tower.feature_size

    @property
    def device(self) -> torch.device:
        """Return the device of the batches."""
        return self.tower.device

    def batch(self, rows: Ints, views: Ints) -> Batch:
        """Return views (n, k) of the samples at the positions `rows` (n,).

        The batch contains pixels (n * k, 3, H, W) or features (n * k, D).
        """
        with quiet(), ThreadPoolExecutor(WORKERS) as pool:
            if self.pixels:
                return Batch(pixels=self._crops(pool, rows, views).to(self.device))
            parts = [slice(start, start + AT_ONCE) for start in range(0, len(rows), AT_ONCE)]
            return Batch(features=torch.cat([self._features(pool, rows[part], views[part]) for part in parts]))

    def mean_view(self, rows: slice | Ints) -> Tensor:
        """Return the mean (n, D) over the cached views of the samples at the positions `rows`."""
        return self.cached.mean_view(rows)

    def unit_features(self) -> Floats:
        """Return the unit-length features (N, D) of the cached views."""
        return self.cached.unit_features()

    def _features(self, pool: ThreadPoolExecutor, rows: Ints, views: Ints) -> Tensor:
        """Return the features (n * k, D) of views (n, k) of the samples at the positions `rows` (n,)."""
        crops = self._crops(pool, rows, views).to(self.device)
        with torch.no_grad():
            features = _rounded(self.tower.encode_images(crops))
        shown = torch.tensor([len(self.images[row]) for row in rows.tolist()]).repeat_interleave(views.shape[1])
        if len(features) == len(shown):
            return features
        sums = features.new_zeros(len(shown), features.shape[1])
        sums.index_add_(0, torch.arange(len(shown)).repeat_interleave(shown).to(self.device), features)
        return _rounded(F.normalize(sums, dim=1))

    def _crops(self, pool: ThreadPoolExecutor, rows: Ints, views: Ints) -> Tensor:
        """Return the pixels (images, 3, H, W) of all samples, views and images; the image is the fastest index."""
        return torch.stack([crop for crops in pool.map(self._views, rows.tolist(), views.tolist()) for crop in crops])

    def _views(self, row: int, views: Sequence[int]) -> list[Tensor]:
        """Return the pixels of the images of one sample, view by view."""
        shown = sorted(self.images[row], key=lambda image: image[0])
        opened = [(digest, open_rgb(image, self._at_least)) for digest, image in shown]
        return [self._view(image, digest, view) for view in views for digest, image in opened]

    def _view(self, image: Image.Image, digest: str, view: int) -> Tensor:
        """Return the pixels of a view. View 0 is the plain view, and view v is view v - 1 of `view_box`."""
        if view == 0:
            return self.tower.preprocess(image)
        box, flip = view_box(digest, image.size, view - 1, self.seed)
        return self.tower.preprocess_crop(image, box, flip)

    @cached_property
    def _at_least(self) -> int:
        """Return the size in pixels at which images are opened."""
        return input_size(self.tower)


def _rounded(features: Tensor) -> Tensor:
    """Return the features in float32, rounded as in the feature store, so that live and cached views are equal."""
    return features.to(torch.float16).float()
