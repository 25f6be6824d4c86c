"""A run of a grid: it tunes a method on one draw of the noise, measures the result, and writes records to a folder.

True labels are used only for the measurements. No stage of a method gets them.
"""

import csv
import hashlib
import io
import json
import time
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from srrs import tuning
from srrs.bench.feature_cache import FeatureCache
from srrs.bench.records import HISTORY, PARTITION, RESULT, SAMPLES, AuditScores, Record
from srrs.bench.schema import pack, pack_classes
from srrs.code import code_digest
from srrs.config import Settings
from srrs.core import metrics
from srrs.core.noise import NoiseSpec
from srrs.data.protocols import Draw
from srrs.io import write_atomic
from srrs.methods.spec import needs
from srrs.models.base import Models
from srrs.records import Batch, Group, Partition
from srrs.training.loop import Outcome as Tuned
from srrs.training.state import discard
from srrs.tuning import Task

CHECKPOINT = "run"
"""Name of the folder of the checkpoint in the folder of a run."""


@dataclass(frozen=True, eq=False)
class Run:
    """Everything on which the result of one run depends."""

    cache: FeatureCache
    """The features of all images of the grid."""
    out: Path
    """Folder of the grid."""
    noise: NoiseSpec
    """Noise setting of the draw."""
    protocol: str
    """Name of the protocol, see `srrs.data.protocols`."""
    as_published: bool
    """Whether the labels were drawn with the faults of the published generator."""
    shots: int | None
    """Images per class; None for all."""
    settings: Settings
    """Settings with the method and the seed of this run."""
    paths: tuple[str, ...]
    """(N,) paths of the images, as the split file contains them, in the order in which they were drawn."""
    draw: Draw
    """The drawn images with their given and true labels."""
    truth_known: bool = True
    """Whether the true labels are known. If not, the run measures no audit."""

    @cached_property
    def digest(self) -> str:
        """Return a digest of the inputs, the settings and the code. It does not depend on the folder or the device."""
        ignored = ("device",)
        chosen = {name: value for name, value in self.settings.flat().items() if name not in ignored}
        about: list[object] = [
            code_digest(),
            self.cache.digest,
            chosen,
            list(self.paths),
            self.draw.given.tolist(),
            self.protocol,
        ]
        about += [str(self.noise), self.shots, self.as_published]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]

    @property
    def folder(self) -> Path:
        """Return the folder of the run's records. Its name is readable and contains the start of the digest."""
        shots = "all" if self.shots is None else f"{self.shots}-shots"
        drawn = f"{self.protocol}-as-published" if self.as_published else self.protocol
        method = "".join(c if c.isalnum() or c in "-_." else "-" for c in self.settings.tuning.method)[:60]
        noise = str(self.noise).replace(":", "-").replace("/", "-")
        run = f"seed-{self.settings.seed}-{self.digest[:8]}"
        return Path(self.out, str(self.cache.about["dataset"]), drawn, shots, noise, method, run)

    @property
    def title(self) -> str:
        """Return a readable name of the run."""
        return f"{self.settings.tuning.method} at {self.noise}, seed {self.settings.seed}"


def execute(run: Run) -> Record:
    """Compute the run, write its records to its folder, and return the result.

    If there is a checkpoint, the run continues from it. The result is written after all other files. The run uses a
    single thread, because rounding depends on the number of threads.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            return _execute(run)
    finally:
        torch.set_num_threads(before)


def _execute(run: Run) -> Record:
    """Compute a run as `execute` does, with the current number of threads."""
    started = time.monotonic()
    run.folder.mkdir(parents=True, exist_ok=True)
    _write_json(run.folder / "settings.json", _resolved(run))
    models = _models(run.cache, run.settings.with_(seed=0, method="srrs"))
    task = run.cache.task(run.paths, run.draw.given, models, run.settings)
    checkpoint = run.folder / CHECKPOINT
    tuned = tuning.tune_task(task, run.settings, checkpoint=checkpoint, knowledge=_knowledge(run))
    record = _record(run, tuned, task, models, time.monotonic() - started)
    _write_history(run, tuned)
    _write_samples(run, tuned)
    partition = tuned.round.partition
    _write_json(run.folder / PARTITION, _scores(partition))
    _write_json(run.folder / RESULT, record.to_json())
    discard(checkpoint)
    return record


@lru_cache(maxsize=1)
def _models(cache: FeatureCache, settings: Settings) -> Models:
    """Return the models of a cache. They are loaded once per process."""
    return cache.models(settings)


def _knowledge(run: Run) -> dict[str, Any]:
    """Return the facts about the data that a method may require: the noise rate if the true labels are known.

    The tables of results name the methods that require such facts.
    """
    wrong = float((run.draw.given != run.draw.truth).mean()) if run.truth_known else None
    return {} if wrong is None else {"noise_rate": wrong}


def _record(run: Run, tuned: Tuned, task: Task, models: Models, seconds: float) -> Record:
    """Return the record of a run, with the measurements on the test images and on the training labels."""
    features, labels = run.cache.test
    assert tuned.classifier is not None  # every method of a grid classifies
    probs = tuned.classifier(Batch(features=features.to(models.device))).softmax(1).cpu().numpy()
    predicted = probs.argmax(1)
    correct = predicted == labels
    noise = tuned.round.noise
    wrong = run.draw.given != run.draw.truth if run.truth_known else None
    return Record(
        digest=run.digest,
        code=code_digest(),
        dataset=str(run.cache.about["dataset"]),
        classes=len(run.cache.class_names),
        model=run.settings.model.name,
        method=run.settings.tuning.method,
        needs=needs(run.settings.tuning.method),
        protocol=run.protocol,
        as_published=run.as_published,
        noise_kind=run.noise.kind if run.noise.tail is None else f"{run.noise.kind}+tail:{run.noise.tail:g}",
        noise_rate=run.noise.rate,
        shots=run.shots,
        seed=run.settings.seed,
        samples=len(run.paths),
        accuracy=float(correct.mean()),
        macro_f1=metrics.macro_f1(predicted, labels),
        ece=metrics.expected_calibration_error(probs, labels),
        correct=pack(correct),
        predicted=pack_classes(predicted),
        truth=pack_classes(labels),
        test_samples=len(labels),
        audit=_audit(tuned, wrong),
        noise_given=None if wrong is None else float(wrong.mean()),
        noise_rectified=None if wrong is None else metrics.label_noise(tuned.round.targets.hard, run.draw.truth),
        noise_estimate=(noise.rate, noise.low, noise.high),
        zero_shot_auroc=None if wrong is None else _zero_shot_auroc(task, wrong),
        seconds=seconds,
        text_passes=tuned.text_passes,
        versions={**tuning.versions(), "threads": torch.get_num_threads()},
        settings=run.settings.flat(),
    )


def _zero_shot_auroc(task: Task, wrong: np.ndarray) -> float | None:
    """Return the AUROC of the untuned classifier's probability of the given label; None without such a classifier."""
    if tuning.untuned_head(task) is None:
        return None
    return metrics.audit_auroc(tuning.untuned_probs(task)[np.arange(len(wrong)), task.labels], wrong)


def _audit(tuned: Tuned, wrong: np.ndarray | None) -> AuditScores:
    """Return the scores of the audit. `wrong` (N,) marks wrong labels; None if the true labels are unknown."""
    if wrong is None:
        return AuditScores()
    quality, flagged = tuned.round.quality, tuned.round.partition.group == Group.NOISY
    found = metrics.precision_recall(flagged, wrong)
    return AuditScores(
        metrics.audit_auroc(quality, wrong), metrics.average_precision(quality, wrong), found.precision, found.recall
    )


def _scores(partition: Partition) -> dict[str, Any]:
    """Return the content of `partition.json`: the screening score, its thresholds, and `p_clean`, for `srrs plot`."""
    cut, p_clean = partition.thresholds, np.round(partition.p_clean, 5).tolist()
    if cut is None:
        return {"p_clean": p_clean, "score": "p_clean", "thresholds": []}
    bounds = np.column_stack([cut.lower, cut.upper])
    return {"p_clean": p_clean, cut.score: np.round(cut.values, 5).tolist(), "score": cut.score,
            "thresholds": np.round(bounds, 5).tolist()}  # fmt: skip


def _write_history(run: Run, tuned: Tuned) -> None:
    """Write the noise of the rectified labels, and its estimate, over training as JSONL."""
    lines = []
    for entry in tuned.history:
        rectified = metrics.label_noise(entry.target, run.draw.truth) if run.truth_known else None
        estimate = [entry.noise.rate, entry.noise.low, entry.noise.high]
        line = {"step": entry.step, "noise_estimate": estimate, "noise_rectified": rectified}
        lines.append(json.dumps(line) + "\n")
    write_atomic(run.folder / HISTORY, "".join(lines).encode())


def _write_samples(run: Run, tuned: Tuned) -> None:
    """Write the audit of each training image as CSV."""
    outcome, text = tuned.round, io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label", "true", "quality", "p_clean", "status", "suggested"])
    columns = (outcome.quality, outcome.partition.p_clean, outcome.partition.group, outcome.targets.hard)
    drawn = zip(run.paths, run.draw.given, run.draw.truth, *columns, strict=True)
    for path, given, truth, quality, p_clean, group, hard in drawn:
        status = Group(group).name.lower()
        writer.writerow(
            [path, given, truth if run.truth_known else "", f"{quality:.6f}", f"{p_clean:.6f}", status, hard]
        )
    write_atomic(run.folder / SAMPLES, text.getvalue().encode())


def _resolved(run: Run) -> dict[str, Any]:
    """Return the content of `settings.json`: everything that identifies the run."""
    return {
        "digest": run.digest,
        "code": code_digest(),
        "noise": str(run.noise),
        "protocol": run.protocol,
        "as_published": run.as_published,
        "shots": run.shots,
        "settings": run.settings.flat(),
        "versions": tuning.versions(),
    }


def _write_json(path: Path, content: Any) -> None:
    """Write a JSON value to a file. Raises ValueError for NaN and the infinities."""
    write_atomic(path, (json.dumps(content, allow_nan=False) + "\n").encode())
