"""What many tests share: a cache of their own, tiny models on disk, and photographs drawn here."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

import support

CLASSES = ("cat", "dog", "sea_horse")
COLORS = {"cat": (210, 60, 40), "dog": (40, 160, 70), "sea_horse": (50, 80, 210)}


@pytest.fixture(scope="session", autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is read from the user's caches or from a hub, in this process and in those that tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SRRS_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("OMP_NUM_THREADS", "1")  # models this small only lose by threads, a lot on a busy machine
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="session")
def blip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.tiny_blip(tmp_path_factory.mktemp("blip"))


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`<class>/<number>.jpg`, six of each class. Do not write into it."""
    return draw_photos(tmp_path_factory.mktemp("drawn") / "photos", np.random.default_rng(0))


def draw_photos(root: Path, generator: np.random.Generator, each: int = 6) -> Path:
    """Red discs, green squares and blue triangles, no two alike, as `root/<class>/<number>.jpg`."""
    for name in CLASSES:
        (root / name).mkdir(parents=True)
        for number in range(each):
            _draw(name, generator).save(root / name / f"{number}.jpg", quality=90)
    return root


def _draw(name: str, generator: np.random.Generator, size: int = 48) -> Image.Image:
    ground = tuple(generator.integers(150, 256, 3).tolist())
    color = tuple(np.clip(np.array(COLORS[name]) + generator.integers(-35, 36, 3), 0, 255).tolist())
    x, y = generator.integers(18, 31, 2).tolist()
    radius = int(generator.integers(10, 17))
    image = Image.new("RGB", (size, size), ground)
    pen = ImageDraw.Draw(image)
    if name == "cat":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)
    else:
        pen.regular_polygon((x, y, radius), 4 if name == "dog" else 3, fill=color)
    return image
