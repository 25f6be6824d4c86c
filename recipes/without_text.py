"""What an audit of embeddings knows without a text tower: with class vectors and without any, on the development bench.

    python recipes/without_text.py DATA WORK --noise sym:0.2,pair:0.2 --draws 4,5,6

Prints, for embeddings of the bundled model, the AUROC of the audit, the estimated rate and the share of wrong labels
after rectification, means over draws. The decision of srrs reads no logits, so nothing is tuned.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from develop import draw, unpack
from srrs import demo, tuning
from srrs.config import Settings
from srrs.console import Console
from srrs.core import metrics
from srrs.core.noise import NoiseSpec
from srrs.data.samples import checked, read
from srrs.models.base import ClassVectors, Models
from srrs.records import Round
from srrs.tuning import Task


def both(task: Task) -> Iterator[tuple[str, Task]]:
    """The task on its embeddings alone, with the text features of its classes and without."""
    head = tuning.untuned_head(task)
    assert head is not None  # the bundled model has a text tower
    for name, vectors in (("with", ClassVectors(head.weights)), ("without", None)):
        bare = Models.without_towers(task.source.feature_size, vectors, logit_scale=head.scale)
        yield name, replace(task, models=bare, match=None)


def figures_of(audited: Round, truth: np.ndarray) -> list[float]:
    """AUROC, estimated noise rate and rectified noise of an audit."""
    auroc = metrics.audit_auroc(audited.quality, audited.evidence.labels != truth)
    rectified = metrics.label_noise(audited.targets.hard, truth)
    return [np.nan if auroc is None else auroc, audited.noise.rate, rectified]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--noise", default="sym:0,sym:0.2,sym:0.5,pair:0.2,pair:0.5")
    parser.add_argument("--draws", default="4,5,6")
    parser.add_argument("--classes", type=int, default=20)
    asked = parser.parse_args()
    unpack(asked.data, asked.work / "development")
    everything = checked(read(asked.work / "development"))
    encoding = Settings.of(model="bundled", matcher="none")
    table: dict[tuple[str, str], list[list[float]]] = {}
    for number in map(int, asked.draws.split(",")):
        train, test = draw(everything, number, asked.classes)
        prepared = demo.prepare(train, test, encoding, Console())
        whole = demo.task_of(prepared)
        for noise in asked.noise.split(","):
            noisy = demo.with_noise(train, NoiseSpec.parse(noise), number)
            for name, task in both(whole.relabeled(np.asarray(noisy.labels)[prepared.rows])):
                audited = tuning.audit_task(task, Settings.of(model="none", seed=number)).round
                figures = figures_of(audited, prepared.truth[prepared.rows])
                table.setdefault((noise, name), []).append(figures)
    print("noise      class vectors  auroc   rate  rectified")
    for (noise, name), rows in table.items():
        print(f"{noise:10s} {name:12s}" + "  ".join(f"{value:6.3f}" for value in np.mean(rows, 0)))


if __name__ == "__main__":
    main()
