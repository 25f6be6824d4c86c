"""The preprocessing of images by the settings of a model, with Pillow only. The pixels equal those of transformers."""

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from srrs.errors import ModelError

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""
LARGEST = 8192
"""Largest side of a model's input in pixels."""


@dataclass(frozen=True)
class Preprocessing:
    """Resize, center crop, rescale and normalize."""

    resize: tuple[int, int] | int | None
    """(height, width), or the length of the shorter side; None to keep the size."""
    crop: tuple[int, int] | None
    """(height, width) of the center crop; None for no crop."""
    resample: int
    """Number of the resampling filter in Pillow."""
    rescale: float
    """Factor of the byte values."""
    mean: tuple[float, ...]
    """Mean of each channel, which is subtracted from the rescaled values."""
    std: tuple[float, ...]
    """Standard deviation of each channel, by which the difference is divided."""
    round_crop: bool = False
    """How a crop margin that ends in half a pixel is rounded: to the even number, as in torchvision, or, if False,
    down, as in transformers."""

    @classmethod
    def of(cls, processor: Any) -> "Preprocessing":
        """Return the preprocessing of an image processor of transformers.

        Raises
        ------
        ModelError
            The sizes of the processor are not supported, or the processed images would not all have the same size.
        """
        size = {key: int(value) for key, value in dict(processor.size).items() if value}
        crop = dict(processor.crop_size) if getattr(processor, "do_center_crop", False) else None
        resize: tuple[int, int] | int | None = None
        if processor.do_resize:
            if set(size) not in ({"shortest_edge"}, {"height", "width"}):
                raise ModelError(f"Expected a preprocessing size of shortest_edge or height and width, found {size}.")
            resize = size.get("shortest_edge") or (size["height"], size["width"])
        if crop is None and not isinstance(resize, tuple):
            raise ModelError(f"Expected preprocessing that gives images of one size, but found {size} and no crop.")
        normal = processor.do_normalize
        sides = [*size.values(), *((crop["height"], crop["width"]) if crop else ())]
        if not all(1 <= side <= LARGEST for side in sides):
            raise ModelError(f"Expected preprocessing sizes from 1 to {LARGEST} pixels, found {size} and {crop}.")
        return cls(
            resize=resize,
            crop=(crop["height"], crop["width"]) if crop else None,
            resample=int(processor.resample if processor.resample is not None else Image.Resampling.BILINEAR),
            rescale=float(processor.rescale_factor) if processor.do_rescale else 1.0,
            mean=_three(processor.image_mean if normal else 0.0),
            std=_three(processor.image_std if normal else 1.0),
        )

    @property
    def size(self) -> tuple[int, int]:
        """Return the input size of the model: (height, width)."""
        if self.crop is not None:
            return self.crop
        assert isinstance(self.resize, tuple)
        return self.resize

    def to_json(self) -> dict[str, object]:
        """Return the settings as JSON, on which cache keys and fingerprints depend."""
        settings = asdict(self)
        if not self.round_crop:  # only models of open_clip have this key, so that other cache keys do not change
            del settings["round_crop"]
        return {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}

    def plain(self, image: Image.Image) -> Tensor:
        """Return the pixels (3, H, W) float32 of an RGB image, resized, cropped and normalized."""
        image = image.convert("RGB")
        if self.resize is not None:
            height, width = self._resized(image.height, image.width)
            image = image.resize((width, height), Image.Resampling(self.resample))
        if self.crop is not None:
            height, width = self.crop
            whole = round if self.round_crop else math.floor
            top, left = whole((image.height - height) / 2), whole((image.width - width) / 2)
            image = image.crop((left, top, left + width, top + height))
        return self._pixels(image)

    def view(self, image: Image.Image, box: Box, flip: bool) -> Tensor:
        """Return a box of an RGB image, resized to the input size of the model and normalized: (3, H, W) float32.

        With `flip`, the result is mirrored from left to right.
        """
        height, width = self.size
        image = image.convert("RGB").resize((width, height), Image.Resampling(self.resample), box=box)
        return self._pixels(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else image)

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """Return the size (height, width) to which an image of this size is resized."""
        if not isinstance(self.resize, int):
            assert self.resize is not None
            return self.resize
        short, long = min(height, width), max(height, width)
        longer = int(self.resize * long / short)
        return (longer, self.resize) if width <= height else (self.resize, longer)

    @cached_property
    def _table(self) -> np.ndarray:
        """Return the normalized value (3, 256) of each byte value in each channel, rounded as in transformers."""
        values = (np.arange(256, dtype=np.float64) * self.rescale).astype(np.float32)
        return (values - np.array(self.mean, np.float32)[:, None]) / np.array(self.std, np.float32)[:, None]

    def _pixels(self, image: Image.Image) -> Tensor:
        """Return the normalized pixels (3, H, W) float32 of an RGB image."""
        channels = np.asarray(image).transpose(2, 0, 1)
        return torch.from_numpy(
            np.stack([table[channel] for table, channel in zip(self._table, channels, strict=True)])
        )


def _three(value: float | list[float] | tuple[float, ...]) -> tuple[float, ...]:
    """Return one value per channel."""
    return tuple(float(v) for v in value) if isinstance(value, list | tuple) else (float(value),) * 3
