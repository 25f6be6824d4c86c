"""The bundled photographs: twenty classes of Caltech101's `train` and `test` parts, look-alikes among them.

python recipes/photos.py DATA src/srrs/assets/photos
"""

import io
import sys
import zipfile
from pathlib import Path

from PIL import Image

from splits import _draw, caltech_split

SHORT_SIDE, QUALITY, TRAIN, TEST = 96, 72, 16, 25
CLASSES = (
    "butterfly", "chair", "chandelier", "cougar_face", "crab", "crayfish", "cup", "dragonfly", "elephant", "ewer",
    "ferry", "ibis", "kangaroo", "ketch", "lamp", "leopard", "llama", "rhino", "schooner", "windsor_chair",
)  # fmt: skip


def chosen(data: Path) -> dict[str, list[str]]:
    """Part -> paths of the split, 16 training photographs and up to 25 test photographs a class."""
    paths: dict[str, list[str]] = {}
    for part, count in (("train", TRAIN), ("test", TEST)):
        split = caltech_split(data)[part]
        for name in CLASSES:
            mine = sorted(path for path, _, own in split if own == name)
            paths.setdefault(part, []).extend(_draw(mine, count, f"photos/{part}/{name}"))
    return paths


def write(data: Path, target: Path) -> None:
    names = {path: name for part in ("train", "test") for path, _, name in caltech_split(data)[part]}
    with zipfile.ZipFile(data / "caltech101.zip") as archive:
        for part, paths in chosen(data).items():
            for path in paths:
                with Image.open(io.BytesIO(archive.read(f"caltech101/101_ObjectCategories/{path}"))) as image:
                    scale = SHORT_SIDE / min(image.size)
                    size = tuple(max(SHORT_SIDE, round(s * scale)) for s in image.size)
                    small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
                file = target / part / names[path] / Path(path).name
                file.parent.mkdir(parents=True, exist_ok=True)
                small.save(file, quality=QUALITY, optimize=True)


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
