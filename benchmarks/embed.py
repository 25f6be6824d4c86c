"""Embedding photographs from disk, against the bare image tower on pixels that lie in memory.

The bare tower is the library's own forward. Ours leaves out work that changes nothing, so the ratio may be above 1;
what opening, decoding and shrinking the photographs costs is seen beside our pass on the same pixels.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

import published
from models import dual_encoder
from srrs.data.images import open_rgb
from srrs.data.samples import Samples, checked, from_paths
from srrs.features.store import encode
from srrs.models.dual import DualEncoder

BATCH = 64
SIZE = (640, 480)


def measure(quick: bool) -> dict[str, dict[str, object]]:
    """Images per second of either tower alone and of `encode` from JPEG files, in turns, at the same batch."""
    name = "bundled" if quick else "vitb32"
    model = dual_encoder(name)
    count, turns = (BATCH, 3) if quick else (2 * BATCH, 5)
    with tempfile.TemporaryDirectory() as folder:
        samples = photographs(Path(folder), count)
        pixels = [model.preprocess(open_rgb(path)) for path in samples.paths]
        batches = [torch.stack(pixels[at : at + BATCH]) for at in range(0, count, BATCH)]
        own_forward(model, batches[:1])  # neither side pays for the first call
        bare, ours, disk = [], [], []
        for _ in range(turns):
            bare.append(seconds(lambda: own_forward(model, batches)))
            ours.append(seconds(lambda: our_pass(model, batches)))
            disk.append(seconds(lambda: encode(samples, range(count), model, batch=BATCH)))
    ratios = [alone / whole for alone, whole in zip(bare, disk, strict=True)]
    return {
        name: {
            "ratio": median(ratios),
            "spread": (max(ratios) - min(ratios)) / median(ratios),
            "tower_images_per_s": count / median(bare),
            "our_pass_images_per_s": count / median(ours),
            "disk_images_per_s": count / median(disk),
            "photographs": count,
            "pixels": "{}x{}".format(*SIZE),
            "batch": BATCH,
        }
    }


def photographs(folder: Path, count: int) -> Samples:
    """JPEG files of the weight of photographs (a hundred kilobytes): a gradient, soft shapes and grain; checked."""
    generator = np.random.default_rng(0)
    width, height = SIZE
    ramp = np.linspace(0, 120, width)[None, :, None] + np.linspace(0, 60, height)[:, None, None]
    for number in range(count):
        coarse = generator.integers(0, 120, (height // 40, width // 40, 3), dtype=np.uint8)
        shapes = np.asarray(Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC))
        grain = generator.normal(0, 6, (height, width, 1))
        picture = np.clip(ramp + shapes + grain, 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{number:05}.jpg", quality=90)
    return checked(from_paths(sorted(folder.iterdir())))


def own_forward(model: DualEncoder, batches: list[torch.Tensor]) -> None:
    """The image tower as transformers runs it."""
    for batch in batches:
        published.image_features(model, batch)


def our_pass(model: DualEncoder, batches: list[torch.Tensor]) -> None:
    """The same features without the work that changes nothing."""
    for batch in batches:
        model.encode_images(batch)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
