"""Choose each method's learning rate on the development classes, and print the table of docs/benchmark.md.

    python recipes/learning_rates.py DATA WORK --methods coop,gce,srrs --rates 0.05,0.1,0.2,0.4,0.8 --draws 1,2

A rate is that of the prompts; the rates of a method's other tuners scale with it. The chosen rate has the best mean
accuracy over noise and draws. A rate at the end of the range is marked: try further ones.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from develop import draw, unpack
from srrs import demo, tuning
from srrs.config import LEARNING_RATE, Settings
from srrs.console import Console
from srrs.core.noise import NoiseSpec
from srrs.data.samples import checked, read
from srrs.methods.spec import split_list
from srrs.methods.zoo import METHODS

Accuracies = dict[tuple[str, float], list[float]]


def accuracies(
    data: Path,
    work: Path,
    methods: list[str],
    rates: list[float],
    noise: list[NoiseSpec],
    draws: list[int],
    classes: int,
) -> Accuracies:
    """Test accuracies of each method at each rate, over draws and noise; those without tuning take one rate."""
    unpack(data, work / "development")
    everything = checked(read(work / "development"))
    settings, console = Settings.of(model="bundled", matcher="none"), Console()
    found: Accuracies = defaultdict(list)
    for number in draws:
        train, test = draw(everything, number, classes)
        prepared = demo.prepare(train, test, settings, console)
        whole = demo.task_of(prepared)
        for spec in noise:
            noisy = demo.with_noise(train, spec, number)
            task = whole.relabeled(np.asarray(noisy.labels)[prepared.rows])
            truth = prepared.truth[prepared.rows]
            knowledge = {"noise_rate": float((task.labels != truth).mean())}
            for name in methods:
                for rate in rates:
                    chosen = settings.with_(method=name, seed=number, learning_rate=rate)
                    tuned = tuning.tune_task(task, chosen, knowledge=knowledge)
                    found[name, rate].append(float(demo.measure(tuned, prepared).correct.mean()))
    return found


def show(found: Accuracies, methods: list[str], rates: list[float]) -> str:
    """The table in Markdown."""
    header = ["method", *(f"{rate:g}" for rate in rates), "chosen"]
    lines = [header, ["---", *["---:"] * (len(rates) + 1)]]
    for name in methods:
        means = [float(np.mean(found[name, rate])) for rate in rates]
        best = int(np.argmax(means))
        at_end = best in (0, len(rates) - 1) and len(rates) > 1
        same = max(means) - min(means) < 1e-9
        choice = (
            f"{LEARNING_RATE:g} (all equal)" if same else f"{rates[best]:g}" + (" (end of range)" if at_end else "")
        )
        lines.append([name, *(f"{100 * mean:.1f}" for mean in means), choice])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--rates", default="0.05,0.1,0.2,0.4,0.8")
    parser.add_argument("--noise", default="sym:0.2,sym:0.5,pair:0.25")
    parser.add_argument("--draws", default="1,2")
    parser.add_argument("--classes", type=int, default=20)
    asked = parser.parse_args()
    methods, rates = split_list(asked.methods), [float(rate) for rate in asked.rates.split(",")]
    noise = [NoiseSpec.parse(part) for part in asked.noise.split(",")]
    draws = [int(number) for number in asked.draws.split(",")]
    found = accuracies(asked.data, asked.work, methods, rates, noise, draws, asked.classes)
    print(show(found, methods, rates))


if __name__ == "__main__":
    main()
