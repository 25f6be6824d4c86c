"""Pictures for pre-training: decoded once to 64 px, augmented and put into a *style* in batches on tensors.

A style is a change that a caption can name ("a blurred photo of ..."), so that the context of a prompt means
something to the bundled model.
"""

import io
import zipfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from splits import Photo, pretraining

SOURCE_PX = 64
INPUT_PX = 48
CROPS_OF_OBLONG = 4  # square crops kept of a photograph that is not square
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's own
STYLES = ("photo", "blurred", "dark", "negative", "grey", "pixelated", "bright", "drawing")


def _squares(image: Image.Image) -> list[Image.Image]:
    """The picture as one 64 px square, or as several along its longer side."""
    width, height = image.size
    short = min(width, height)
    if max(width, height) < 1.15 * short:
        return [image.resize((SOURCE_PX, SOURCE_PX), Image.Resampling.BICUBIC)]
    room = max(width, height) - short
    boxes = []
    for start in np.linspace(0, room, CROPS_OF_OBLONG):
        left, top = (start, 0) if width > height else (0, start)
        boxes.append((left, top, left + short, top + short))
    whole = image.resize((SOURCE_PX, SOURCE_PX), Image.Resampling.BICUBIC)
    return [whole] + [image.resize((SOURCE_PX, SOURCE_PX), Image.Resampling.BICUBIC, box=b) for b in boxes]


def load(data: Path, cache: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pixels (N, 64, 64, 3) uint8, domain (N,), label (N,), photograph (N,) of everything that may be seen."""
    files = [cache / f"{name}.npy" for name in ("pixels", "domain", "label", "photo")]
    if not all(f.exists() for f in files):
        cache.mkdir(parents=True, exist_ok=True)
        arrays = _decode(data, pretraining(data))
        for file, array in zip(files, arrays, strict=True):
            np.save(file, array)
    return tuple(np.load(f) for f in files)


def _decode(data: Path, photos: list[Photo]) -> tuple[np.ndarray, ...]:
    archives = {name: zipfile.ZipFile(data / name) for name in {p.archive for p in photos}}
    pixels, domains, labels, numbers = [], [], [], []
    for number, photo in enumerate(photos):
        with Image.open(io.BytesIO(archives[photo.archive].read(photo.path))) as image:
            squares = _squares(image.convert("RGB"))
        for square in squares:
            pixels.append(np.asarray(square))
            domains.append(photo.domain)
            labels.append(photo.label)
            numbers.append(number)
    return np.stack(pixels), np.array(domains), np.array(labels), np.array(numbers)


def crop(pixels: Tensor, generator: torch.Generator, scale: tuple[float, float] = (0.3, 1.0)) -> Tensor:
    """Random resized crops with flips and colour jitter: (B, 64, 64, 3) uint8 -> (B, 3, 48, 48) in 0..1."""
    x = pixels.permute(0, 3, 1, 2).float() / 255

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(len(x), generator=generator) * (high - low) + low

    area, aspect = uniform(*scale), torch.exp(uniform(-0.28, 0.28))
    width, height = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
    flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    theta = torch.zeros(len(x), 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = width * flip, height
    theta[:, 0, 2], theta[:, 1, 2] = uniform(-1, 1) * (1 - width), uniform(-1, 1) * (1 - height)
    grid = F.affine_grid(theta, [len(x), 3, INPUT_PX, INPUT_PX], align_corners=False)
    x = F.grid_sample(x, grid, align_corners=False, padding_mode="reflection")
    gain = uniform(0.75, 1.25)[:, None, None, None] * (1 + 0.1 * torch.randn(len(x), 3, 1, 1, generator=generator))
    contrast = uniform(0.7, 1.3)[:, None, None, None]
    mean = x.mean((1, 2, 3), keepdim=True)
    return ((x * gain - mean) * contrast + mean).clamp(0, 1)


def plain(pixels: Tensor) -> Tensor:
    """The whole square at 48 px, as the model's own preprocessing would show it."""
    x = pixels.permute(0, 3, 1, 2).float() / 255
    return F.interpolate(x, INPUT_PX, mode="bicubic", antialias=True).clamp(0, 1)


def _grey(x: Tensor) -> Tensor:
    return x.mean(1, keepdim=True).expand_as(x)


def _drawing(x: Tensor) -> Tensor:
    grey = _grey(x)
    edges = (grey - F.avg_pool2d(grey, 5, 1, 2)).abs() * 5
    return (1 - edges).clamp(0, 1)


def _pixelated(x: Tensor) -> Tensor:
    return F.interpolate(F.avg_pool2d(x, 4), scale_factor=4, mode="nearest")


def stylise(x: Tensor, style: Tensor) -> Tensor:
    """Put each picture (B, 3, H, W in 0..1) into its style (B,), an index into `STYLES`."""
    change = {
        "blurred": lambda y: F.avg_pool2d(F.avg_pool2d(y, 5, 1, 2), 3, 1, 1),
        "dark": lambda y: y * 0.35,
        "negative": lambda y: 1 - y,
        "grey": _grey,
        "pixelated": _pixelated,
        "bright": lambda y: 1 - (1 - y) * 0.45,
        "drawing": _drawing,
    }
    out = x.clone()
    for number, name in enumerate(STYLES):
        rows = style == number
        if name in change and rows.any():
            out[rows] = change[name](x[rows])
    return out


def random_styles(count: int, generator: torch.Generator, share: float) -> Tensor:
    """Style indices (B,): plain photographs, but for about `share` of them."""
    drawn = torch.randint(1, len(STYLES), (count,), generator=generator)
    return torch.where(torch.rand(count, generator=generator) < share, drawn, 0)


def normalise(x: Tensor) -> Tensor:
    """Pixels in 0..1 to what the towers take."""
    mean, std = (torch.tensor(v)[None, :, None, None] for v in (MEAN, STD))
    return (x - mean) / std
