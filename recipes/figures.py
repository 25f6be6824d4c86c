"""The figures of docs/method.md, from the demo's photographs with half of the labels wrong: one minute on one core.

    python recipes/figures.py docs/figures

True labels color the figures; no method is told them. `flow.svg`, the way of the data, is drawn by hand.
"""

import sys
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from PIL import Image

from srrs import pipeline, tuning
from srrs.config import FIT_VIEWS, Settings
from srrs.core.noise import NoiseSpec
from srrs.data.samples import Samples, checked, read
from srrs.demo import with_noise
from srrs.features.cached import CachedFeatures
from srrs.records import Partition, Round

SETTINGS = Settings.of(model="bundled", views=1)
NOISE, SEED = NoiseSpec.parse("sym:0.5"), 1
PUBLISHED = "srrs-paper"
RIGHT, WRONG = "#3b86a3", "#c9483c"
BARS, SIDE = 4, 96


@dataclass(frozen=True)
class Case:
    """The photographs with wrong labels, and the last round of both methods on them."""

    samples: Samples
    rows: np.ndarray
    truth: np.ndarray
    published: Round
    ours: Round


def draw(photos: Path, out: Path, settings: Settings = SETTINGS) -> list[Path]:
    """Write `screening.svg` and `rectified.svg` for a folder of photographs with right labels."""
    case = screened(photos, settings)
    out.mkdir(parents=True, exist_ok=True)
    return [save(screening(case), out / "screening.svg"), save(rectified(case), out / "rectified.svg")]


def screened(photos: Path, settings: Settings) -> Case:
    """Both methods on the same photographs, features and wrong labels."""
    clean = checked(read(photos))
    models, rows = pipeline.load_models(settings), pipeline.trainable_rows(clean)
    noisy = with_noise(clean, NOISE, SEED)
    views = settings.views(FIT_VIEWS)
    features = pipeline.encode_rows(noisy, rows, models.image, views=views, seed=settings.seed)
    clauses, _ = tuning.describe(noisy.class_names, None)
    source = CachedFeatures(features, noisy.content_keys[rows], models.device)
    task = pipeline.make_task(noisy, rows, source, models, clauses, settings)
    published = tuning.tune_task(task, settings.with_(method=PUBLISHED)).round
    ours = tuning.audit_task(task, settings.with_(method="srrs")).round
    return Case(noisy, rows, np.asarray(clean.labels)[rows], published, ours)


def screening(case: Case) -> Figure:
    """What each method parts the labels by, with its thresholds, colored by who is right."""
    wrong = case.ours.evidence.labels != case.truth
    figure = Figure(figsize=(7.6, 2.7), layout="constrained")
    left, right = figure.subplots(1, 2)
    _histogram(left, case.published.partition, wrong)
    _histogram(right, case.ours.partition, wrong)
    left.set(title="srrs-paper", xlabel="screening loss, scaled to 0..1", ylabel="photographs")
    right.set(title="srrs", xlabel="probability that the label is right")
    right.legend(loc="upper center", frameon=False)
    return figure


def _histogram(axes: Axes, partition: Partition, wrong: np.ndarray) -> None:
    """The score that the partition cuts, and where."""
    cut = partition.thresholds
    assert cut is not None  # both methods cut one score
    score = cut.values
    axes.hist(
        [score[~wrong], score[wrong]], bins=np.linspace(0, 1, 31).tolist(), stacked=True, rwidth=0.9,
        color=[RIGHT, WRONG], label=["right labels", "wrong labels"],
    )  # fmt: skip
    for bound in (*cut.lower, *cut.upper):
        axes.axvline(bound, color="black", linewidth=1, linestyle=(0, (4, 3)))
    axes.set_xlim(0, 1)
    axes.spines[["top", "right"]].set_visible(False)


def rectified(case: Case) -> Figure:
    """Of the wrong labels: the surest correction, the middle one, and the surest that stays wrong."""
    figure = Figure(figsize=(7.6, 1.8 * 3), layout="constrained")
    panels = figure.subplots(3, 2, width_ratios=(1, 3.2))
    for (picture, bars), row in zip(panels, _examples(case), strict=True):
        with Image.open(case.samples.paths[case.rows[row]]) as image:
            image.thumbnail((SIDE, SIDE))
            picture.imshow(np.asarray(image.convert("RGB")), interpolation="none")
        picture.set_axis_off()
        _beliefs(bars, case, row)
    panels[0][1].legend(loc="lower right", frameon=False)
    panels[-1][1].set_xlabel("probability of each class")
    return figure


def _examples(case: Case) -> list[int]:
    given, best = case.ours.evidence.labels, case.ours.targets.hard
    sure = case.ours.targets.soft.max(1)
    mended = np.flatnonzero((given != case.truth) & (best == case.truth))
    missed = np.flatnonzero((given != case.truth) & (best != case.truth))
    mended, missed = mended[np.argsort(-sure[mended])], missed[np.argsort(-sure[missed])]
    return [int(mended[0]), int(mended[len(mended) // 2]), int(missed[0])]


def _beliefs(axes: Axes, case: Case, row: int) -> None:
    """Zero-shot prediction and rectified label of one photograph, for the given class and the likeliest ones."""
    assert case.ours.evidence.zero_shot is not None
    before, after = case.ours.evidence.zero_shot[row], case.ours.targets.soft[row]
    given, names = case.ours.evidence.labels[row], case.samples.class_names
    likely = [c for c in np.argsort(-np.maximum(before, after)) if c != given][: BARS - 1]
    shown = [given, *likely]
    places = np.arange(len(shown))
    axes.barh(places - 0.2, before[shown], 0.38, color="#8a8f96", label="zero-shot")
    axes.barh(places + 0.2, after[shown], 0.38, color=RIGHT, label="rectified label")
    axes.set_yticks(places, [f"{names[c]}{' (given)' if c == given else ''}" for c in shown])
    axes.set_title(f"given {names[given]}, truly {names[case.truth[row]]}", loc="left")
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.spines[["top", "right"]].set_visible(False)


def save(figure: Figure, path: Path) -> Path:
    """As SVG with text as text: the same figure gives the same bytes."""
    FigureCanvasSVG(figure)
    bare: dict[str, Any] = dict.fromkeys(("Date", "Creator"))
    look = {"svg.fonttype": "none", "svg.hashsalt": path.stem, "font.size": 9, "axes.titlesize": 9}
    with matplotlib.rc_context(look):
        figure.savefig(path, format="svg", metadata=bare)
    return path


if __name__ == "__main__":
    with as_file(files("srrs") / "assets" / "photos") as bundled:
        for file in draw(bundled / "train", Path(sys.argv[1])):
            print(file, file.stat().st_size)
