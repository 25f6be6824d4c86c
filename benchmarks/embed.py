"""Embedding photographs from disk, against the bare image tower on pixels that lie in memory.

A ratio of 1 would mean that opening, decoding and shrinking the photographs costs nothing beside the tower.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

from srrs.data.samples import Samples, checked, from_paths
from srrs.data.store import ImageEncoder, encode

BATCH = 64
SIZE = (640, 480)


def measure(quick: bool) -> dict[str, dict[str, object]]:
    """Images per second of the tower alone and of `encode` from JPEG files, in turns, at the same batch."""
    name, model = ("bundled", bundled()) if quick else ("ViT-B/32, random weights", vit_b32())
    count, turns = (BATCH, 3) if quick else (2 * BATCH, 5)
    with tempfile.TemporaryDirectory() as folder:
        samples = photographs(Path(folder), count)
        pixels = [model.preprocess(Image.open(path)) for path in samples.paths]
        batches = [torch.stack(pixels[at : at + BATCH]) for at in range(0, count, BATCH)]
        tower(model, batches[:1])  # neither side pays for the first call
        bare, disk = [], []
        for _ in range(turns):
            bare.append(seconds(lambda: tower(model, batches)))
            disk.append(seconds(lambda: encode(samples, range(count), model, batch=BATCH)))
    ratios = [alone / whole for alone, whole in zip(bare, disk, strict=True)]
    return {
        name: {
            "ratio": median(ratios),
            "spread": (max(ratios) - min(ratios)) / median(ratios),
            "tower_images_per_s": count / median(bare),
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


@torch.inference_mode()
def tower(model: ImageEncoder, batches: list[torch.Tensor]) -> None:
    """The work that cannot be saved."""
    for batch in batches:
        model.encode_images(batch)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def bundled() -> ImageEncoder:
    """The small pair that comes with srrs."""
    from srrs.models.hub import load_model

    return load_model("bundled", device="cpu", precision="fp32")


def vit_b32() -> ImageEncoder:
    """CLIP ViT-B/32 in every size, with random weights and the bundled pair's tokenizer."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    from srrs.models.dual import DualEncoder
    from srrs.models.hub import find_folder, load_tokenizer
    from srrs.models.preprocess import Preprocessing

    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig()).eval().requires_grad_(False)
    tokenizer = load_tokenizer(find_folder("bundled", "clip"), "bundled")
    preprocessing = Preprocessing.of(CLIPImageProcessorPil())
    return DualEncoder(model, tokenizer, preprocessing, name="vit-b-32", fingerprint="random")
