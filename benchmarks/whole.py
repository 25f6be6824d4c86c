"""A whole run on Caltech101: 1,600 photographs, 100 classes.

Published: 200 epochs of 50 steps, and a round of screening every second epoch. One step and one batch of a round are
measured; the total is computed from them. Ours: the default settings, a context per class, from photographs to audit.
Tuning, its rounds included, is measured in full; embedding on a sample of the bundled photographs and the matcher's
work on 32 pictures, both multiplied. What the published way spends on opening photographs is not counted.
"""

from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import published
import step
from common import Table, alternate, timed
from models import dual_encoder, matcher_for
from round import Asked, Bench, Sizes, known_task
from srrs.config import Settings
from srrs.data.samples import checked, read
from srrs.features.store import encode
from srrs.models.dual import DualEncoder
from srrs.pipeline import trainable_rows
from srrs.tuning import tune_task

CASES = {
    "srrs, no matcher": ("srrs", False),
    "srrs, with the matcher": ("srrs", True),
    "srrs-paper, with the matcher": ("srrs-paper", True),
}
"""Without a matcher is the default of CLIP on a CPU."""


class _Units(NamedTuple):
    """Seconds of what is multiplied."""

    published_step: float
    published_batch: float
    view: float
    picture: float
    pair: float


def measure(quick: bool) -> Table:
    """Our ways of running it, each beside the published one."""
    model, sizes = "bundled" if quick else "vitb32", Sizes.of(quick)
    encoder = dual_encoder(model)
    units = _units(encoder, sizes, photographs=8 if quick else 32, repeats=1 if quick else 2)
    batches = sizes.samples / published.BATCH
    steps, rounds = published.EPOCHS * batches, published.EPOCHS // published.SCREEN_EVERY
    theirs = steps * units.published_step + rounds * batches * units.published_batch

    table: Table = {}
    for case, (method, with_matcher) in CASES.items():
        settings = Settings.of(
            {"matcher": "none", "method": method, "views": sizes.views} | ({"steps": 3} if quick else {})
        )
        asked = Asked() if with_matcher else None
        task = known_task(encoder, sizes, asked)
        tuning = timed(lambda task=task, settings=settings: tune_task(task, settings))()  # type: ignore[misc]
        embedding = units.view * sizes.samples * (1 + sizes.views)
        matching = units.picture * sizes.samples + units.pair * len(asked.seen) if asked else 0.0
        mine = embedding + tuning + matching
        table[case] = {
            "model": encoder.name,
            "photographs": sizes.samples,
            "classes": sizes.classes,
            "published_s": theirs,
            "ours_s": mine,
            "ratio": theirs / mine,
            "ours_embedding_s": embedding,
            "ours_tuning_s": tuning,
            "ours_matching_s": matching,
            "ours_steps": settings.schedule.steps,
            "published_step_s": units.published_step,
            "published_steps": steps,
            "published_round_s": batches * units.published_batch,
            "published_rounds": rounds,
            "measured_on": "published: one step, one batch of a round; package: tuning in full, the rest on a sample",
        }
    return table


def _units(encoder: DualEncoder, sizes: Sizes, photographs: int, repeats: int) -> _Units:
    plain = dual_encoder(encoder.name, kernels="torch")
    bench = Bench(plain, matcher_for(encoder.name), sizes.classes)
    samples = checked(read(Path(str(files("srrs") / "assets" / "photos" / "train"))))
    rows = trainable_rows(samples)[:photographs]
    clocks = {
        "batch": timed(bench.published_batch),
        "embedding": timed(lambda: encode(samples, rows, encoder, views=sizes.views)),
        "images": timed(bench.image_side),
        "pairs": timed(bench.pairs),
    }
    seconds = {name: taken.median for name, taken in alternate(clocks, repeats).items()}
    return _Units(
        published_step=step.published_seconds(
            dual_encoder(encoder.name, kernels="torch"), sizes.classes, repeats
        ).median,
        published_batch=seconds["batch"],
        view=seconds["embedding"] / (len(rows) * (1 + sizes.views)),
        picture=seconds["images"] / len(bench.pictures),
        pair=seconds["pairs"] / len(bench.pictures),
    )
