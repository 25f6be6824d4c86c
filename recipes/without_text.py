"""What an audit of embeddings knows without a text tower: with class vectors and without any, on the development bench.

    python recipes/without_text.py DATA WORK --noise sym:0.2,pair:0.2 --draws 4,5,6

Prints, for embeddings of the bundled model, the AUROC of the audit, the estimated rate and the share of wrong labels
after rectification, means over draws. Screening asks nothing of the learners, so that nothing is tuned.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from srrs.models.vectors import Vectors
from srrs.training.task import Task
from torch.nn.functional import normalize

from develop import draw, unpack
from srrs import demo, tuning
from srrs.config import Settings
from srrs.core.noise import NoiseSpec
from srrs.data.samples import checked, read


def both(task: Task) -> Iterator[tuple[str, Task]]:
    """The task on its embeddings alone, with the text features of its classes and without."""
    size, scale = task.plain.shape[1], task.model.logit_scale
    words = normalize(tuning.untuned_weights(task), dim=1)
    yield "with", replace(task, model=Vectors(size, words, logit_scale=scale), match=None)
    yield "without", tuning.without_tower(replace(task, model=Vectors(size), match=None))[0]


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
        prepared = demo.prepare(train, test, encoding, demo.Console())
        for noise in asked.noise.split(","):
            noisy = demo.with_noise(train, NoiseSpec.parse(noise), number)
            for name, task in both(tuning.relabelled(prepared.task, np.asarray(noisy.labels)[prepared.rows])):
                tuned = tuning.tune_task(task, Settings.of(model="none", steps=0, seed=number))
                found = demo.measure(tuned, prepared)
                figures = [found.audit["auroc"] or np.nan, found.noise[0], found.rectified_noise]
                table.setdefault((noise, name), []).append(figures)
    print("noise      class vectors  auroc   rate  rectified")
    for (noise, name), rows in table.items():
        print(f"{noise:10s} {name:12s}" + "  ".join(f"{value:6.3f}" for value in np.mean(rows, 0)))


if __name__ == "__main__":
    main()
