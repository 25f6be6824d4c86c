"""Images that are opened and encoded in every step: fresh crops without end, or pixels for tuners inside the tower."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from srrs.data.images import WORKERS
from srrs.features.cached import CachedFeatures
from srrs.features.crops import view_box
from srrs.models.base import ImageTower
from srrs.records import Batch, Floats, Ints, Keys


@dataclass(frozen=True, eq=False)
class LiveImages:
    """A view source that opens the images of each batch anew. View v is the same crop that the feature store caches.

    The evidence of screenings comes from the cached views, so that it is computed once.
    """

    cached: CachedFeatures
    """Features of the same samples, for the evidence."""
    digests: Sequence[str]
    """(N,) sha256 digest of each image file; crops are drawn from it, as the feature store draws them."""
    open_image: Callable[[int], Image.Image]
    """Opens the RGB image of a row."""
    tower: ImageTower
    seed: int
    """Seed of the crops."""
    pixels: bool = False
    """Whether batches hold pixels, for tuners inside the tower; else their features."""

    augmented = None

    @property
    def keys(self) -> Keys:
        """(N,) content keys."""
        return self.cached.keys

    @property
    def feature_size(self) -> int:
        """D."""
        return self.tower.feature_size

    @property
    def device(self) -> torch.device:
        """Where batches lie."""
        return self.tower.device

    def batch(self, rows: Ints, views: Ints) -> Batch:
        """The views (n, k) of some rows (n,): pixels (n * k, 3, H, W), or features (n * k, D)."""
        with ThreadPoolExecutor(WORKERS) as pool:
            opened = pool.map(self._views, rows.tolist(), views.tolist())
            pixels = torch.stack([view for crops in opened for view in crops]).to(self.device)
        if self.pixels:
            return Batch(pixels=pixels)
        with torch.inference_mode():
            features = self.tower.encode_images(pixels)
        # Features are rounded as the store rounds them, so that live and cached views are equal.
        return Batch(features=features.to(torch.float16).float().clone())

    def mean_view(self, rows: slice) -> Tensor:
        """(n, D) of the cached views."""
        return self.cached.mean_view(rows)

    def unit_features(self) -> Floats:
        """(N, D) of the cached views."""
        return self.cached.unit_features()

    def _views(self, row: int, views: Sequence[int]) -> list[Tensor]:
        image = self.open_image(row)
        return [self._view(image, row, view) for view in views]

    def _view(self, image: Image.Image, row: int, view: int) -> Tensor:
        """View 0 is the plain one; the store counts augmented views from 0."""
        if view == 0:
            return self.tower.preprocess(image)
        box, flip = view_box(self.digests[row], image.size, view - 1, self.seed)
        return self.tower.preprocess_crop(image, box, flip)
