"""How many augmented views an audit and a fit need: both at several numbers of views, on the development classes.

    python recipes/views.py DATA WORK [--views 0,1,2,4,8] [--draws 1,2,3]

An audit reads the mean of a sample's views; a fit also learns from them. Prints means over draws and noises.
"""

import argparse
from pathlib import Path

import numpy as np

from develop import draw, unpack
from srrs import demo, tuning
from srrs.config import Settings
from srrs.console import Console
from srrs.core import metrics
from srrs.core.noise import NoiseSpec
from srrs.data.samples import checked, read

NOISES = ("sym:0", "sym:0.2", "sym:0.5", "pair:0.4")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--views", default="0,1,2,4,8")
    parser.add_argument("--draws", default="1,2,3")
    arguments = parser.parse_args()
    unpack(arguments.data, arguments.work / "development")
    everything = checked(read(arguments.work / "development"))
    print("views  audit AP  wrong after  fit accuracy")
    for views in map(int, arguments.views.split(",")):
        rows = [measured(everything, views, int(number)) for number in arguments.draws.split(",")]
        found = np.nanmean(np.concatenate(rows), axis=0)
        print(f"{views:5d}  {found[0]:8.3f}  {found[1]:11.3f}  {found[2]:12.3f}", flush=True)


def measured(everything: object, views: int, number: int) -> np.ndarray:
    """Average precision, wrong labels left and test accuracy (noises, 3) of one draw."""
    settings = Settings.of(model="bundled", matcher="none", views=views, seed=number)
    train, test = draw(everything, number, 20)
    prepared = demo.prepare(train, test, settings, Console())
    whole = demo.task_of(prepared)
    truth, rows = prepared.truth[prepared.rows], []
    for noise in NOISES:
        noisy = demo.with_noise(prepared.train, NoiseSpec.parse(noise), number)
        task = whole.relabeled(np.asarray(noisy.labels)[prepared.rows])
        audit = tuning.audit_task(task, settings).round
        wrong = task.labels != truth
        precision = metrics.average_precision(audit.quality, wrong) if wrong.any() else np.nan
        accuracy = demo.measure(tuning.tune_task(task, settings), prepared).correct.mean()
        rows.append([precision, metrics.label_noise(audit.targets.hard, truth), accuracy])
    return np.array(rows)


if __name__ == "__main__":
    main()
