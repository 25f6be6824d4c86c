from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from srrs.data.appearance import appearance
from srrs.data.samples import checked, from_paths
from srrs.errors import DataError


def scene(size: int = 300) -> Image.Image:
    """Something with edges."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (size // 10, size // 10, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((size, size), Image.Resampling.NEAREST)


def seen(folder: Path, *pictures: Image.Image):
    for number, picture in enumerate(pictures):
        picture.save(folder / f"{number}.png")
    samples = checked(from_paths(sorted(folder.glob("*.png")), labeled=False))
    return appearance(samples, range(len(samples)))


def test_defects_are_those_that_were_made(tmp_path: Path) -> None:
    good = scene()
    pictures = (
        good,
        good.filter(ImageFilter.GaussianBlur(8)),
        good.point(lambda value: value // 8),
        Image.new("RGB", (300, 300), (90, 120, 10)),
        good.resize((20, 24)),
        Image.new("RGB", (1, 1)),
    )
    found = seen(tmp_path, *pictures)
    assert found.defects == ((), ("blurry",), ("dark",), ("blank",), ("tiny",), ("tiny", "blank"))


def test_looks_are_alike_after_saving_anew_and_unlike_otherwise(tmp_path: Path) -> None:
    good = scene()
    found = seen(tmp_path, good, good.resize((200, 200)), good.rotate(90), Image.new("RGB", (50, 50)))
    alike = found.looks @ found.looks.T
    assert alike[0, 1] > 0.97
    assert alike[0, 2] < 0.5
    assert (found.looks[3] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(found.looks[:3], axis=1), 1, rtol=1e-5)


def test_a_picture_that_does_not_open_is_an_error_of_the_user(tmp_path: Path) -> None:
    samples = checked(from_paths([_broken(tmp_path)], labeled=False))
    with pytest.raises(DataError, match="unreadable: not an image"):
        appearance(samples, [0])


def _broken(folder: Path) -> Path:
    path = folder / "broken.png"
    path.write_bytes(b"nothing")
    return path
