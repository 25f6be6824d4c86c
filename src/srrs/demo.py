"""The demo: several methods on the bundled images with wrong labels, with the bundled model.

By default, half of the labels are wrong. True labels are used only to draw the noise and to measure the results. N
usable training images, T test images, C classes.
"""

import json
import time
from contextlib import closing
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import torch

from srrs import pipeline, tuning
from srrs.audit.table import Audit
from srrs.config import FIT_VIEWS, Settings
from srrs.console import Console
from srrs.core import metrics
from srrs.core.noise import NoiseSpec, flip
from srrs.data.samples import Samples, checked, read
from srrs.errors import SettingsError
from srrs.features.cached import CachedFeatures
from srrs.io import write_atomic
from srrs.models.device import choose_device
from srrs.models.matcher import MemoizedScores
from srrs.parallel import side_by_side
from srrs.records import Batch, Features, Group, Ints
from srrs.training.loop import Outcome as Tuned

METHODS = ("zero-shot", "coop", "coop-two", "gce", "srrs-paper", "srrs")
"""The methods of the demo."""
PROTOCOL = "label-flip"
"""Name of the protocol for drawing the noise, see `srrs.data.protocols`."""


@dataclass(frozen=True)
class DemoRun:
    """The measurements of one method on one draw of the noise."""

    correct: np.ndarray
    """(T,) whether each test image is classified correctly."""
    rectified_noise: float
    """Share of wrong labels after the method has changed labels, from 0 to 1."""
    noise: tuple[float, float, float]
    """Estimated noise rate, and the lower and upper end of its range."""
    audit: dict[str, float | None]
    """AUROC, precision and recall of the audit, from 0 to 1; None for a score that is undefined."""


def run(out: Path, noise: str, seeds: list[int], console: Console) -> dict[str, Any]:
    """Run the demo, write `result.json`, `audit.csv`, `audit.json` and `report.html`, and return the results.

    Parameters
    ----------
    out : the folder for the files.
    noise : kind and rate of the noise, such as `sym:0.5`. The kind is sym or pair.
    seeds : the seeds of the draws.
    console : prints progress and results.

    Raises
    ------
    SettingsError
        The noise is not allowed.
    """
    started = time.monotonic()
    try:
        spec = NoiseSpec.parse(noise)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    if spec.kind not in ("sym", "pair"):
        raise SettingsError(f"expected noise of the kind sym or pair for the demo, but got {noise}; see srrs bench")
    settings = Settings.of(model="bundled")
    with as_file(files("srrs") / "assets" / "photos") as photos:
        train, test = checked(read(photos / "train")), checked(read(photos / "test"))
        prepared = prepare(train, test, settings, console)
        outcomes, audit, noisy = _all_seeds(prepared, spec, seeds, console)
        result = _result(spec, outcomes, time.monotonic() - started)
        out.mkdir(parents=True, exist_ok=True)
        write_atomic(out / "result.json", (json.dumps(result, indent=1) + "\n").encode())
        audit.to_csv(out / "audit.csv")
        audit.to_json(out / "audit.json")
        audit.report(out / "report.html", title="Label audit: the demo", thumbnail=pipeline.thumbnails(noisy))
    _show(result, audit, out, console)
    console.result(result)
    return result


@dataclass(frozen=True)
class Prepared:
    """All data that do not depend on the noise, without the models. It is sent to other processes."""

    train: Samples
    """The training images with their true labels."""
    rows: Ints
    """(N,) positions of the usable training images."""
    features: Features
    """Features of the usable training images."""
    states: torch.Tensor | None
    """(N, tokens, width) the matcher's encoding of each image; None without a matcher."""
    descriptions: tuple[str | None, ...]
    """(C,) the description of each class; None for a class without one."""
    test_features: torch.Tensor
    """(T, D) features of the usable test images."""
    test_labels: np.ndarray
    """(T,) class numbers of the test images."""
    settings: Settings
    """The settings of all runs, apart from the method and the seed."""

    @property
    def truth(self) -> np.ndarray:
        """Return the true labels of all images of `train`, including unusable ones."""
        return np.asarray(self.train.labels)


def prepare(train: Samples, test: Samples, settings: Settings, console: Console) -> Prepared:
    """Encode the training and test images, and return all data that do not depend on the noise."""
    models = pipeline.load_models(settings)
    rows = pipeline.trainable_rows(train)
    views = settings.views(FIT_VIEWS)
    with console.progress("Encoding images") as advance:
        features = pipeline.encode_rows(train, rows, models.image, views=views, seed=settings.seed, progress=advance)
        held_out = pipeline.encode_rows(test, test.usable, models.image, views=0, seed=settings.seed)
    return Prepared(
        train=train,
        rows=rows,
        features=features,
        states=tuning.matcher_states(train, rows, models.matcher) if models.matcher else None,
        descriptions=tuning.describe(train.class_names, None)[0],
        test_features=torch.from_numpy(np.asarray(held_out.plain, dtype=np.float32)),
        test_labels=np.asarray(test.labels)[test.usable],
        settings=settings,
    )


def task_of(prepared: Prepared) -> tuning.Task:
    """Load the models, and return the training task with the true labels. `Task.relabeled` sets the noisy labels."""
    models = pipeline.load_models(prepared.settings)
    match = None
    if models.matcher is not None and prepared.states is not None:
        texts = tuning.match_texts(prepared.train.class_names, prepared.descriptions)
        match = MemoizedScores(models.matcher, prepared.states, texts, kind=prepared.settings.model.match_by)
    rows, names = prepared.rows, prepared.train.class_names
    source = CachedFeatures(prepared.features, prepared.train.content_keys[rows], models.device)
    return tuning.Task(models, names, prepared.descriptions, source, prepared.truth[rows], match)


Run = tuple[int, str]
"""Seed and method of a run."""
_here: list[tuple[Prepared, NoiseSpec, tuning.Task]] = []
"""Data, noise and task of this process. `begin` sets them, and `tune` reads them."""


def begin(prepared: Prepared, spec: NoiseSpec) -> None:
    """Load the models in this process, and store data, noise and task for `tune`."""
    _here[:] = [(prepared, spec, task_of(prepared))]


def tune(run: Run) -> tuple[DemoRun, Audit | None]:
    """Tune one method on one draw of the noise. Return its measurements and, for `srrs`, the audit."""
    (prepared, spec, task), (seed, name) = _here[0], run
    noisy = with_noise(prepared.train, spec, seed)
    task = task.relabeled(np.asarray(noisy.labels)[prepared.rows])
    chosen = prepared.settings.with_(method=name, seed=seed)
    tuned = tuning.tune_task(task, chosen)
    audit = pipeline.make_audit(noisy, prepared.rows, tuned, task, chosen) if name == "srrs" else None
    return measure(tuned, prepared), audit


def _all_seeds(
    prepared: Prepared, spec: NoiseSpec, seeds: list[int], console: Console
) -> tuple[dict[str, list[DemoRun]], Audit, Samples]:
    """Compute all runs in parallel processes.

    Return the measurements by method, and the audit of the first seed with the samples that it audits.
    """
    runs = [(seed, name) for seed in seeds for name in reversed(METHODS)]  # of each seed, the slowest method first
    outcomes: dict[str, list[DemoRun]] = {name: [] for name in METHODS}
    first: Audit | None = None
    running = side_by_side(tune, runs, prepare=begin, arguments=[prepared, spec])
    with console.progress("Tuning") as advance, closing(running) as done:
        for number, ((_, name), (outcome, audit)) in enumerate(zip(runs, done, strict=True), 1):
            outcomes[name].append(outcome)
            first = audit if first is None else first
            advance(number, len(runs))
    assert first is not None  # there is at least one seed
    return outcomes, first, with_noise(prepared.train, spec, seeds[0])


def with_noise(samples: Samples, spec: NoiseSpec, seed: int) -> Samples:
    """Return the samples with noise in their labels."""
    labels = flip(np.asarray(samples.labels), samples.keys, len(samples.class_names), spec, seed)
    return replace(samples, labels=labels)


def measure(tuned: Tuned, prepared: Prepared) -> DemoRun:
    """Return the measurements of a run: its predictions and its audit are compared with the true labels."""
    truth = prepared.truth[prepared.rows]
    wrong = tuned.round.evidence.labels != truth
    assert tuned.classifier is not None  # every method of the demo classifies
    logits = tuned.classifier(Batch(features=prepared.test_features.to(choose_device(prepared.settings.model.device))))
    found = metrics.precision_recall(tuned.round.partition.group == Group.NOISY, wrong)
    noise = tuned.round.noise
    return DemoRun(
        correct=logits.argmax(1).cpu().numpy() == prepared.test_labels,
        rectified_noise=float(metrics.label_noise(tuned.round.targets.hard, truth)),
        noise=(noise.rate, noise.low, noise.high),
        audit={
            "auroc": metrics.audit_auroc(tuned.round.quality, wrong),
            "precision": found.precision,
            "recall": found.recall,
        },
    )


def _result(spec: NoiseSpec, outcomes: dict[str, list[DemoRun]], seconds: float) -> dict[str, Any]:
    """Return the content of `result.json`: means over seeds, and accuracies of srrs minus those of other methods."""

    def accuracy(name: str) -> float:
        return float(np.mean([o.correct.mean() for o in outcomes[name]]))

    ours = outcomes["srrs"]
    correct = {name: np.stack([o.correct for o in runs]) for name, runs in outcomes.items()}
    gaps = {
        name: metrics.paired_bootstrap(correct["srrs"], correct[name], seed=0) for name in METHODS if name != "srrs"
    }
    return {
        "noise": {"kind": spec.kind, "rate": spec.rate, "protocol": PROTOCOL},
        **{name.replace("-", "_"): accuracy(name) for name in METHODS},
        "audit": {part: _mean([o.audit[part] for o in ours]) for part in ("auroc", "precision", "recall")},
        "noise_estimate": float(np.mean([o.noise[0] for o in ours])),
        "noise_ranges": [[o.noise[1], o.noise[2]] for o in ours],
        "rectified_noise": float(np.mean([o.rectified_noise for o in ours])),
        "rectified_noise_srrs_paper": float(np.mean([o.rectified_noise for o in outcomes["srrs-paper"]])),
        "srrs_minus": {name.replace("-", "_"): [gap.mean, gap.low, gap.high] for name, gap in gaps.items()},
        "seconds": seconds,
    }


def _mean(values: list[float | None]) -> float | None:
    """Return the mean of the values that are not None; None if there are none."""
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def _show(result: dict[str, Any], audit: Audit, out: Path, console: Console) -> None:
    """Print the accuracies, the summary of the audit, and the names of the files."""
    from rich.table import Table

    noise = result["noise"]
    table = Table(title=f"{noise['rate']:.0%} of the labels wrong ({noise['kind']})", title_justify="left")
    table.add_column("method")
    table.add_column("test accuracy", justify="right")
    for name in METHODS:
        table.add_row(name, f"{result[name.replace('-', '_')]:.1%}")
    console.say(table)
    console.say(audit.summary())
    if result["audit"]["auroc"] is not None:
        console.say(
            f"wrong labels are ranked at AUROC {result['audit']['auroc']:.3f}; of the labels, {noise['rate']:.0%} are "
            f"wrong as given and {result['rectified_noise']:.0%} after rectification"
        )
    console.say(f"written: {out / 'result.json'}, {out / 'audit.csv'}, {out / 'report.html'}")
