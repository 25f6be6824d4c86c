"""What a person's time buys where labels of a published data set were made wrong: `srrs audit --budget`, `--trusted`.

    python recipes/review_budget.py DATA WORK --noise sym:0.2,pair:0.2 --seeds 1,2,3

DATA holds caltech101. Prints, for each noise and seed, the share of wrong labels in the first tenth of the ranking and
their number among the first 100: of the budget's order (by quality), of the better of two zero-shot rankings, and of
confident learning. Then the AUROC over the labels nobody looked at and their share of wrong labels after
rectification, without and with true answers to those 100. The decision of srrs reads no logits, so nothing is tuned.
"""

import argparse
from pathlib import Path

import numpy as np

from srrs import pipeline, tuning
from srrs.bench.grid import Grid, plan
from srrs.bench.run import Run
from srrs.config import Settings
from srrs.core import metrics
from srrs.core.noise import NoiseSpec
from srrs.data.published import read_dataset
from srrs.methods.trusted import VerifiedLabel
from srrs.models.base import Models


def measure(run: Run, models: Models, budget: int) -> list[float]:
    """The figures of one draw of the noise."""
    task = run.cache.task(run.paths, run.draw.given, models, run.settings)
    last = tuning.audit_task(task, run.settings).round
    peer = tuning.audit_task(task, run.settings.with_(method="confident")).round
    wrong, given, rows = run.draw.given != run.draw.truth, last.evidence.labels, np.arange(len(task.labels))
    untuned = tuning.untuned_probs(task)
    own = untuned[rows, given]
    zero_shot = max(_among(q, wrong, budget) for q in (own, own - untuned.max(1)))
    order = np.argsort(last.quality, kind="stable")
    found = [
        wrong[order[: len(wrong) // 10]].mean(),
        wrong[order[:budget]].sum(),
        zero_shot,
        _among(peer.quality, wrong, budget),
    ]
    seen = order[:budget]
    labels = given.copy()
    labels[seen] = run.draw.truth[seen]
    verified = {int(row): VerifiedLabel(int(labels[row]), int(given[row])) for row in seen}
    again = tuning.audit_task(task.relabeled(labels), run.settings, verified=verified).round
    rest = np.setdiff1d(rows, seen)
    for audit in (last, again):
        found.append(metrics.audit_auroc(audit.quality[rest], wrong[rest]) or np.nan)
        found.append(metrics.label_noise(audit.targets.hard[rest], run.draw.truth[rest]))
    return [float(value) for value in found]


def _among(quality: np.ndarray, wrong: np.ndarray, budget: int) -> int:
    return int(wrong[np.argsort(quality, kind="stable")[:budget]].sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--dataset", default="caltech101")
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--noise", default="sym:0.2,pair:0.2")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--budget", type=int, default=100)
    parser.add_argument("--protocol", default="label-flip")
    asked = parser.parse_args()
    settings = Settings.of(model=asked.model)
    specs = tuple(NoiseSpec.parse(text) for text in asked.noise.split(","))
    grid = Grid(("srrs",), specs, (asked.shots,), tuple(map(int, asked.seeds.split(","))), settings, asked.protocol)
    models = pipeline.load_models(settings)
    names = (
        "top 10 %",
        "budget",
        "zero-shot",
        "confident",
        "AUROC",
        "wrong",
        "AUROC trusted",
        "wrong trusted",
    )
    print("noise      seed " + "".join(f"{name:>15}" for name in names))
    table: dict[str, list[list[float]]] = {}
    for run in plan(grid, read_dataset(asked.dataset, asked.data), models, asked.work):
        figures = measure(run, models, asked.budget)
        table.setdefault(str(run.noise), []).append(figures)
        print(f"{run.noise!s:10s} {run.settings.seed:4d} " + "".join(f"{value:15.3f}" for value in figures), flush=True)
    for noise, figures_of in table.items():
        print(f"{noise:10s} mean " + "".join(f"{value:15.3f}" for value in np.mean(figures_of, 0)))


if __name__ == "__main__":
    main()
