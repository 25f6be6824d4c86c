"""On a CUDA device: a step, the image tower's throughput, and a whole run of DTD's size from a folder to the audit.

DTD's size is 47 classes of 16 photographs; the photographs are the bundled ones, enlarged, no two alike. Default
settings, the device's own precision (bf16 where it computes it), no matcher. Without a CUDA device nothing is measured.
"""

import tempfile
from collections.abc import Iterator
from functools import partial
from importlib.resources import files
from itertools import islice
from pathlib import Path

import torch
from PIL import Image, ImageOps

import ours
import published
from common import Clock, Table, alternate, timed
from models import dual_encoder
from srrs.config import FIT_VIEWS, Settings
from srrs.data.samples import checked, read
from srrs.models.base import Models
from srrs.models.dual import DualEncoder
from srrs.pipeline import Request, fit
from step import published_seconds
from titles import NOT_MEASURED
from words import class_names

CLASSES, SHOTS, SIDE = 47, 16, 400
ENCODED = 512  # views per batch
COLUMNS = (
    "published_s", "ours_s", "ratio", "ours_spread", "encoded_views_per_s", "dtd_run_s", "dtd_run_spread",
    "photographs", "published_dtd_steps_s", "run_ratio", "peak_mb",
)  # fmt: skip


def measure(quick: bool) -> Table:
    """A model per row."""
    models = ("bundled",) if quick else ("vitb32", "bundled")
    if not torch.cuda.is_available():
        return {name: dict.fromkeys(COLUMNS, NOT_MEASURED) for name in models}
    return {name: row_on("cuda", name, quick) for name in models}


def row_on(device: str, name: str, quick: bool) -> dict[str, object]:
    """The row of one model."""
    model, repeats = dual_encoder(name, "auto", device), 1 if quick else 5
    settings = Settings.of({"matcher": "none"} | ({"steps": 3} if quick else {}))
    task = ours.task_of(model, CLASSES, ours.random_views(model, CLASSES * SHOTS, settings.views(FIT_VIEWS)))
    size = model.preprocess(ours.pictures(1, (8, 8))[0]).shape
    pixels = torch.randn(ENCODED, *size, device=model.device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    clocks: dict[str, Clock] = {
        "step": partial(ours.step_seconds, task, settings, 2 if quick else 10),
        "encode": timed(lambda: model.encode_images(pixels), model.device),
    }
    seconds = alternate(clocks, repeats)
    with tempfile.TemporaryDirectory() as folder:
        photographs = _draw(Path(folder) / "photos", 2 if quick else SHOTS)
        run = alternate({"run": timed(partial(_run, model, settings, Path(folder)), model.device)}, 1 if quick else 3)
    peak = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else NOT_MEASURED
    theirs = published_seconds(dual_encoder(name, "fp32", device), CLASSES, repeats)
    steps = published.EPOCHS * CLASSES * SHOTS / published.BATCH
    values = (
        theirs.median, seconds["step"].median, theirs.median / seconds["step"].median, seconds["step"].spread,
        ENCODED / seconds["encode"].median, run["run"].median, run["run"].spread, photographs,
        steps * theirs.median, steps * theirs.median / run["run"].median, peak,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _run(model: DualEncoder, settings: Settings, folder: Path) -> object:
    """From the folder of photographs to the audit, with an empty cache."""
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        samples = checked(read(folder / "photos"))
        return fit(Request(samples, Models.of(model), settings, cache=Path(cache)))


def _draw(folder: Path, shots: int) -> int:
    """Write the photographs, one folder per class; how many there are."""
    pictures = _pictures()
    for name in class_names(CLASSES):
        (folder / name).mkdir(parents=True)
        for number, picture in enumerate(islice(pictures, shots)):
            picture.save(folder / name / f"{number}.jpg", quality=90)
    return CLASSES * shots


def _pictures() -> Iterator[Image.Image]:
    """The bundled photographs, enlarged; then their mirror images."""
    paths = sorted(Path(str(files("srrs") / "assets" / "photos")).rglob("*.jpg"))
    for mirrored in (False, True):
        for path in paths:
            with Image.open(path) as picture:
                large = picture.convert("RGB").resize((SIDE, SIDE))
            yield ImageOps.mirror(large) if mirrored else large
