"""What each threshold of the decision is worth, with each bed left out in turn.

    python recipes/thresholds.py --simulated PATH/clip_like.py --data DATA --work WORK --out WORK/facts.csv
    python recipes/thresholds.py --facts WORK/facts.csv

The first command fits all hypotheses on every cell and writes what is known about them, with the wrong labels that
each of them would leave. The second one chooses thresholds for each bed: those that leave the fewest wrong labels on
all other beds, starting from the defaults and changing one threshold at a time.
"""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from beds.bed import Cell, corrupted
from beds.simulated import tools_of
from decisions import draws, parser_of
from srrs.screening.decision import choice, hypotheses
from srrs.screening.decision.agreement import contradicted, reliability_of
from srrs.screening.decision.decide import CAUTION
from srrs.screening.decision.evidence import Inputs
from srrs.screening.decision.hypotheses import Hypothesis, Sample
from srrs.screening.decision.prepare import prepare
from srrs.screening.decision.proof import is_proven
from srrs.screening.decision.selection import LABELS, TEMPERED, Facts, Thresholds, selected

BEDS = "objects,pets,actions,food,textures,aircraft,bundled,bundled-strong,bundled-weak"
TRIED = {
    "agree": (0.45, 0.5, 0.55, 0.6, 0.65),
    "gain": (0.05, 0.1, 0.15, 0.2),
    "seen": (0.1, 0.25, 0.5),
    "material": (0.025, 0.05, 0.1),
    "cost": (0.0, 2.0, 4.0, 6.0),
    "random": (0.3, 0.4, 0.5),
}
Row = dict[str, float | str | int]


def facts_of(cell: Cell) -> Row:
    """What is known about the hypotheses on one cell, and the wrong labels after each of them."""
    classes = len(cell.vectors)
    inputs = Inputs.of(cell.given, classes, cell.features, cell.zero_shot, None, None, None, 0)
    rows = inputs.drawn()
    sample = prepare(inputs, rows).read_all(rows)
    first, labels = choice.from_labels(sample)
    sharp, mild = choice.sharp_of(sample), hypotheses.fitted(sample, hypotheses.MILD)
    rest = ~np.isin(sample.labels, contradicted(sample, sharp, labels))
    known = reliability_of(sample, mild)
    models = choice.models_of(sample, sharp, mild, labels, rest, known)
    row: Row = {"agreement": models.facts.agreement, "chance": models.facts.chance}
    for field in ("gain", "rate", "wrong"):
        row |= {f"{field} {name}": value for name, value in getattr(models.facts, field).items()}
    truth, proven = cell.truth[rows], is_proven(sample, first, labels, known)
    row[f"after {LABELS}"] = _after(sample, labels, truth, proven)
    for name, model in models.fitted.items():
        decides = model if name == TEMPERED else hypotheses.refitted(sample, model)
        sure = proven or choice.is_material(sample, name, models.facts) or is_proven(sample, first, decides, known)
        row[f"after {name}"] = _after(sample, decides, truth, sure)
    return row


def _after(sample: Sample, hypothesis: Hypothesis, truth: np.ndarray, proven: bool) -> float:
    """The share of wrong labels if this hypothesis decides."""
    posterior, n = hypothesis.fit.posterior, len(truth)
    pays = posterior.max(1) > (1 + CAUTION * sample.classes / n) * (posterior * sample.given).sum(1)
    target = np.where(pays & proven, sample.index[np.arange(n), posterior.argmax(1)], sample.labels)
    return float((target != truth)[truth >= 0].mean())


def after(table: pd.DataFrame, at: Thresholds) -> pd.Series:
    """Wrong labels after the selected hypothesis, for each cell."""
    fields = {field: [c for c in table if c.startswith(f"{field} ")] for field in ("gain", "rate", "wrong")}
    found = []
    for row in table.to_dict("records"):
        parts = {field: {c.partition(" ")[2]: row[c] for c in columns} for field, columns in fields.items()}
        name = selected(Facts(row["agreement"], row["chance"], **parts), at)
        found.append(row[f"after {name}"])
    return pd.Series(found, table.index)


def searched(table: pd.DataFrame) -> Thresholds:
    """The thresholds that leave the fewest wrong labels, mean of beds, changed one at a time from the defaults."""
    best = Thresholds()
    least = after(table, best).groupby(table.bed).mean().mean()
    for name, values in TRIED.items():
        for value in values:
            tried = replace(best, **{name: value})
            found = after(table, tried).groupby(table.bed).mean().mean()
            if found < least - 1e-6:
                best, least = tried, found
    return best


def report(table: pd.DataFrame) -> None:
    """Print each threshold's effect, then the thresholds chosen without each bed and what they do on it."""
    default = Thresholds()
    print("Wrong labels after, mean of beds, in %, if one threshold has another value:")
    for name, values in TRIED.items():
        found = {v: 100 * after(table, replace(default, **{name: v})).groupby(table.bed).mean().mean() for v in values}
        print(f"{name:14s}", "  ".join(f"{value:g}: {share:.2f}" for value, share in found.items()))
    best = table[[c for c in table if c.startswith("after ")]].min(axis=1)
    print("\nThresholds chosen on the other beds, and wrong labels after on the bed that was left out, in %:")
    for bed, rows in table.groupby("bed"):
        chosen = searched(table[table.bed != bed])
        changed = {k: v for k, v in asdict(chosen).items() if v != getattr(default, k)}
        shares = [100 * values.mean() for values in (after(rows, default), after(rows, chosen), best[rows.index])]
        print(f"{bed:16s} defaults {shares[0]:.2f}  chosen {shares[1]:.2f}  best hypothesis {shares[2]:.2f}  {changed}")


def main() -> None:
    """Write the facts of all cells, or read them and report."""
    parser = parser_of(__doc__, beds=BEDS, seeds="411,412,413", shots="4,16")
    parser.add_argument("--facts", type=Path)
    arguments = parser.parse_args()
    if arguments.facts:
        report(pd.read_csv(arguments.facts))
        return
    tools, rows = tools_of(arguments.simulated), []
    for bed, draw in draws(arguments).items():
        for seed in map(int, arguments.seeds.split(",")):
            for shots in map(int, arguments.shots.split(",")):
                images = draw(seed, shots)
                for noise in arguments.noise.split(","):
                    row = {"bed": bed, "seed": seed, "shots": shots, "noise": noise}
                    rows.append(row | facts_of(corrupted(images, noise, seed, tools)))
                pd.DataFrame(rows).to_csv(arguments.out, index=False)


if __name__ == "__main__":
    main()
