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
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import cast
from unittest.mock import patch

import numpy as np
import torch

from common import alternate
from srrs.core import blocks
from srrs.features.cached import CachedFeatures
from srrs.methods.stages import MACRO, MICRO, Method, one_round
from srrs.methods.zoo import METHODS
from srrs.records import Evidence, Features, Group, Ints
from srrs.training.evidence import Question, gather
from srrs.tuners.base import Head

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
    method, task, weights = method_of(name), opened(folder), torch.from_numpy(np.load(folder / "weights.npy"))
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
        "round_over_products": whole.median / own.median,
        "spread": max(whole.spread, own.spread),
        "peak_gb": peak,
        **compared(name, task, weights),
        "samples": len(task.labels),
        "first_round_s": sum(first.values()),
        "round_s": whole.median,
        "products_s": own.median,
        **{f"{part}_s": median(parts[part] for parts in later) for part in first},
    }


def method_of(name: str) -> Method:
    """The method with its two prompt tuners, for which there are class weights."""
    return replace(METHODS[name](), tuners=(MACRO, MICRO))


def opened(folder: Path) -> Question:
    """The samples of the files, with the third prompt's weights as the untuned classifier."""
    features, weights = np.load(folder / "features.npy", mmap_mode="c"), np.load(folder / "weights.npy")
    return question_of(features, np.load(folder / "labels.npy"), torch.from_numpy(weights[2]))


def question_of(features: np.ndarray, labels: np.ndarray, untuned: torch.Tensor, rows: Ints | None = None) -> Question:
    """Some rows of the samples, or all of them."""
    rows = np.arange(len(labels)) if rows is None else rows
    held = features if len(rows) == len(labels) else features[rows]
    source = CachedFeatures(Features(held, np.empty((len(rows), 0, SIZE), np.float16)), rows.astype(np.uint64))
    return Question(source, labels[rows], CLASSES, Head(untuned, SCALE))


def products(task: Question, weights: torch.Tensor) -> float:
    """Seconds of features times all class weights, block by block, without reading or converting the features."""
    flat, seconds = weights.flatten(0, 1), 0.0
    plain = stored(task)
    for start in range(0, len(task.labels), blocks.ROWS):
        block = torch.from_numpy(np.array(plain[start : start + blocks.ROWS])).float()
        begin = time.perf_counter()
        torch.mm(block, flat.T)
        seconds += time.perf_counter() - begin
    blocks.release(plain)
    return seconds


def stored(task: Question) -> np.ndarray:
    """(N, D) the plain features as they lie on disk."""
    assert isinstance(task.source, CachedFeatures)
    return np.asarray(task.source.features.plain)


def timed_round(method: Method, task: Question, weights: torch.Tensor) -> dict[str, float]:
    """Seconds of each part of one round."""
    clock = [time.perf_counter()]
    evidence = gathered(method, task, weights)
    clock.append(time.perf_counter())
    partition, memory = method.screen(evidence, {})
    clock.append(time.perf_counter())
    targets, memory = method.rectify(evidence, partition, memory)
    clock.append(time.perf_counter())
    method.rescreen(evidence, partition, targets, memory)
    clock.append(time.perf_counter())
    names = ("gather", "screen", "rectify", "rescreen")
    return dict(zip(names, np.diff(clock).tolist(), strict=True))


def gathered(method: Method, task: Question, weights: torch.Tensor) -> Evidence:
    """The evidence that the method reads."""
    heads = {name: Head(own, SCALE) for name, own in zip(method.voters, weights, strict=False)}
    untuned = task.untuned() if "zero_shot" in method.reads else None
    return gather(task, heads, method.voters, untuned, method.reads)


def compared(name: str, task: Question, weights: torch.Tensor) -> dict[str, object]:
    """Whether a slice gets the same verdicts in blocks as by the exact path, which up to `blocks.WHOLE` rows takes."""
    method = method_of(name)
    rows = np.sort(np.random.default_rng(0).permutation(len(task.labels))[:SLICE])
    few = question_of(stored(task), task.labels, weights[2], rows)
    with patch.object(blocks, "WHOLE", SLICE):
        exact, _ = one_round(method, gathered(method, few, weights), {})
    with patch.object(blocks, "WHOLE", SLICE // 2):
        found, _ = one_round(method, gathered(method, few, weights), {})
    here, there = found.partition, exact.partition
    off = np.abs(here.p_clean - there.p_clean)
    cut = there.thresholds
    bounds = np.array([0.5]) if cut is None else np.concatenate([cut.lower, cut.upper])
    distance = np.abs((there.p_clean if cut is None else cut.values)[:, None] - bounds).min(1)
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
