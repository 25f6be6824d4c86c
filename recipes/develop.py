"""The development bench, on which every default of every method is chosen: photographs no bundled model has seen.

    python recipes/develop.py DATA WORK --methods coop,gce,srrs --noise sym:0.5,pair:0.5 --draws 1,2

A draw is some of the forty development classes, 16 training and 30 test photographs of each, and label flips.
Prints accuracy, rectified noise, audit AUROC and the noise estimate of each method, means over draws.
"""

import argparse
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from splits import development, development_ids, tiny_classes
from srrs import demo, tuning
from srrs.cli.resolved import read_pairs
from srrs.config import Settings
from srrs.console import Console
from srrs.core.noise import NoiseSpec
from srrs.data.samples import Samples, checked, read
from srrs.methods.spec import split_list

SHOTS, TEST = 16, 30


def unpack(data: Path, folder: Path) -> None:
    """The development photographs as an image folder, once."""
    if folder.exists():
        return
    tiny = tiny_classes(data)
    names = [tiny[i][0] for i in development_ids(list(tiny))]
    with zipfile.ZipFile(data / "tiny-imagenet.zip") as archive:
        for photo in development(data):
            target = folder / names[photo.label] / Path(photo.path).name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(photo.path))


def draw(everything: Samples, number: int, count: int) -> tuple[Samples, Samples]:
    """Training and test photographs of `count` classes in one draw."""
    rng = np.random.default_rng(number)
    classes = np.sort(rng.permutation(len(everything.class_names))[:count])
    train, test = [], []
    for c in classes:
        rows = rng.permutation(np.flatnonzero(everything.labels == c))
        train += list(rows[:SHOTS])
        test += list(rows[SHOTS : SHOTS + TEST])
    renumber = np.full(len(everything.class_names), -1)
    renumber[classes] = np.arange(count)

    def part(rows: list[int]) -> Samples:
        taken = everything.take(rows)
        names = tuple(everything.class_names[c] for c in classes)
        keys = tuple(everything.class_keys[c] for c in classes)
        return replace(taken, labels=renumber[taken.labels], class_names=names, class_keys=keys)

    return part(train), part(test)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--methods", default="zero-shot,coop,coop-two,gce,srrs-paper,srrs")
    parser.add_argument("--noise", default="sym:0,sym:0.25,sym:0.5,sym:0.75,pair:0.25,pair:0.5,pair:0.75")
    parser.add_argument("--draws", default="1,2")
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--set", action="append", default=[], help="name=value of a setting")
    arguments = parser.parse_args()
    unpack(arguments.data, arguments.work / "development")
    everything = checked(read(arguments.work / "development"))
    settings = Settings.of(read_pairs(arguments.set), model="bundled")
    table: dict[tuple[str, str], list[list[float]]] = {}
    for number in map(int, arguments.draws.split(",")):
        train, test = draw(everything, number, arguments.classes)
        prepared = demo.prepare(train, test, settings, Console())
        whole = demo.task_of(prepared)
        for noise in arguments.noise.split(","):
            noisy = demo.with_noise(train, NoiseSpec.parse(noise), number)
            task = whole.relabeled(np.asarray(noisy.labels)[prepared.rows])
            for name in split_list(arguments.methods):
                started = time.monotonic()
                tuned = tuning.tune_task(task, settings.with_(method=name, seed=number))
                outcome = demo.measure(tuned, prepared)
                figures = [outcome.correct.mean(), outcome.rectified_noise, outcome.audit["auroc"] or np.nan]
                figures += [*outcome.noise, time.monotonic() - started]
                table.setdefault((noise, name), []).append(figures)
    print("noise      method      accuracy rectified  auroc  rate  low  high  seconds")
    for (noise, name), rows in table.items():
        print(f"{noise:10s} {name:12s}" + "  ".join(f"{v:6.3f}" for v in np.mean(rows, 0)), flush=True)


if __name__ == "__main__":
    main()
