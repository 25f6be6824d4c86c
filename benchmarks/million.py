"""A screening round over a million samples of 100 classes, against the time of its own matrix products.

Features of 512 numbers lie in a float16 file. The round gathers the evidence of both learners and of the untuned model,
screens, rectifies and re-screens, without a matcher. It runs in a fresh process, so that its peak memory is its own.

The products counted are features times class weights of both learners and of the untuned model, from float32 blocks
that lie in memory. The round does more of them (class means, and the similarity to these), converts from float16, and
computes a hundred million probabilities three times over: all of that is in the ratio.

The ratio is that of later rounds, which find the memory that the first one asked the system for; the first is beside
it. In a virtual machine getting memory takes almost as long as the work. The loop asks the untuned model in the first
round only; here every round does, as its products are counted.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import numpy as np
import torch
from srrs.training.task import Task

from common import alternate
from srrs.core import blocks
from srrs.core.keyed import bit_keys
from srrs.core.mixture import normalise
from srrs.methods import screen
from srrs.methods.stages import Method, one_round
from srrs.methods.zoo import METHODS
from srrs.records import Evidence, Group
from srrs.training.evidence import gather, zero_shot_probs

CLASSES, SIZE, SCALE = 100, 512, 100.0
WRONG = 0.3
"""Share of the labels that are drawn anew, half of them always as the next class."""
SLICE = 10_000
REPEATS = 5
TOLERANCE = 0.01
"""How far `p_clean` may be from the exact one; closer than that to a threshold, the group may be either."""


def measure(quick: bool) -> dict[str, dict[str, object]]:
    """Ratio, peak memory, verdicts on a slice, and the seconds of each part, of the default method and the paper's."""
    samples = 20_000 if quick else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), samples)
        return {name: in_fresh_process(Path(folder), name) for name in ("srrs", "srrs-paper")}


def make(folder: Path, samples: int) -> None:
    """Features around one direction per class, given labels, and class weights of three prompts, as files."""
    generator = np.random.default_rng(0)
    common = 2 * unit(generator.standard_normal(SIZE))
    centres = unit(generator.standard_normal((CLASSES, SIZE)))
    true = generator.integers(0, CLASSES, samples)
    other = np.where(generator.random(samples) < 0.5, true + 1, generator.integers(0, CLASSES, samples)) % CLASSES
    np.save(folder / "labels.npy", np.where(generator.random(samples) < WRONG, other, true))
    file = folder / "features.npy"
    features = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=(samples, SIZE))
    for start in range(0, samples, 10_000):
        rows = slice(start, min(start + 10_000, samples))
        noise = generator.standard_normal((len(true[rows]), SIZE), dtype=np.float32) / SIZE**0.5
        features[rows] = unit(common + centres[true[rows]] + 3.0 * noise)
    features.flush()
    prompts = unit(common + centres + 1.5 * unit(generator.standard_normal((3, CLASSES, SIZE))))
    np.save(folder / "weights.npy", prompts.astype(np.float32))


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def in_fresh_process(folder: Path, method: str) -> dict[str, object]:
    threads = str(torch.get_num_threads())
    command = [sys.executable, str(Path(__file__)), str(folder), method, threads]
    numpy_too = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=numpy_too)
    return cast(dict[str, object], json.loads(found.stdout))


def measured(folder: Path, name: str) -> dict[str, object]:
    """One row of the table, in this process."""
    method, task, weights = METHODS[name](), opened(folder), torch.from_numpy(np.load(folder / "weights.npy"))
    if not blocks.is_large(len(task.labels)):
        blocks.WHOLE = len(task.labels) // 2  # a quick run takes the way of the large ones all the same
    rounds: list[dict[str, float]] = []

    def whole_round() -> float:
        rounds.append(timed_round(method, task, weights))
        return sum(rounds[-1].values())

    seconds = alternate({"products": lambda: products(task, weights), "round": whole_round}, REPEATS)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    whole, own = seconds["round"], seconds["products"]
    first, *later = rounds
    return {
        "ratio": whole.median / own.median,
        "spread": max(whole.spread, own.spread),
        "peak_gb": peak,
        **compared(name, task, weights),
        "samples": len(task.labels),
        "first_round_s": sum(first.values()),
        "round_s": whole.median,
        "products_s": own.median,
        **{f"{part}_s": median(parts[part] for parts in later) for part in first},
    }


def opened(folder: Path) -> Task:
    features = np.load(folder / "features.npy", mmap_mode="c")
    n = len(features)
    return Task(
        model=cast(Any, SimpleNamespace(logit_scale=SCALE, device=torch.device("cpu"))),
        class_names=tuple(map(str, range(CLASSES))),
        descriptions=(None,) * CLASSES,
        ids=tuple(map(str, range(n))),
        labels=np.load(folder / "labels.npy"),
        plain=features,
        views=np.empty((n, 0, SIZE), np.float16),
    )


def products(task: Task, weights: torch.Tensor) -> float:
    """Seconds of features times all class weights, block by block, without reading or converting the features."""
    flat, seconds = weights.flatten(0, 1), 0.0
    for start in range(0, len(task.labels), blocks.ROWS):
        block = torch.from_numpy(np.array(task.plain[start : start + blocks.ROWS])).float()
        begin = time.perf_counter()
        torch.mm(block, flat.T)
        seconds += time.perf_counter() - begin
    blocks.release(task.plain)
    return seconds


def timed_round(method: Method, task: Task, weights: torch.Tensor) -> dict[str, float]:
    """Seconds of each part of one round."""
    clock = [time.perf_counter()]
    evidence = gathered(task, weights)
    clock.append(time.perf_counter())
    partition, memory = method.screen(evidence, {})
    clock.append(time.perf_counter())
    targets, memory = method.rectify(evidence, partition, memory)
    clock.append(time.perf_counter())
    method.rescreen(evidence, partition, targets, memory)
    clock.append(time.perf_counter())
    names = ("gather", "screen", "rectify", "rescreen")
    return dict(zip(names, np.diff(clock).tolist(), strict=True))


def gathered(task: Task, weights: torch.Tensor) -> Evidence:
    return gather(task, weights[:2], zero_shot_probs(task, weights[2]))


def compared(name: str, task: Task, weights: torch.Tensor) -> dict[str, object]:
    """Whether a slice gets the same verdicts in blocks as by the exact path, which up to `blocks.WHOLE` rows takes."""
    method = METHODS[name]()
    rows = np.sort(np.random.default_rng(0).permutation(len(task.labels))[:SLICE])
    few = Task(
        model=task.model,
        class_names=task.class_names,
        descriptions=task.descriptions,
        ids=tuple(task.ids[row] for row in rows),
        labels=task.labels[rows],
        plain=task.plain[rows],
        views=task.views[rows],
    )
    same_folds = patch.object(screen, "content_keys", lambda _: bit_keys(few.plain))  # keys of the stored bits
    with patch.object(blocks, "WHOLE", SLICE), same_folds:
        exact, _ = one_round(method, gathered(few, weights), {})
    with patch.object(blocks, "WHOLE", SLICE // 2):
        found, _ = one_round(method, gathered(few, weights), {})
    here, there = found.partition, exact.partition
    off = np.abs(here.p_clean - there.p_clean)
    distance = np.abs(there.p_clean[:, None] - there.thresholds[0]).min(1)
    if name == "srrs-paper":  # its bounds are on the loss
        distance = np.abs(normalise(exact.evidence.loss)[:, None] - there.thresholds[0]).min(1)
    groups = here.group == there.group
    top = np.sort(exact.targets.soft, axis=1)[:, -2:]
    hard = (found.targets.hard == exact.targets.hard) | (np.diff(top)[:, 0] < TOLERANCE)
    return {
        "verdicts_equal": bool((off <= TOLERANCE).all() and (groups | (distance < TOLERANCE)).all() and hard.all()),
        "max_p_clean_difference": float(off.max()),
        "groups_equal": float(groups.mean()),
        "targets_equal": float((found.targets.hard == exact.targets.hard).mean()),
        "slice_not_clean": float((there.group != Group.CLEAN).mean()),
    }


if __name__ == "__main__":  # the fresh process of `in_fresh_process`
    torch.set_num_threads(int(sys.argv[3]))
    json.dump(measured(Path(sys.argv[1]), sys.argv[2]), sys.stdout)
