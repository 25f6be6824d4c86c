"""The development suite of the default decision: one table over four kinds of beds, and the bars it is held to.

    python recipes/decisions.py --simulated PATH/clip_like.py --seeds 101,102,103 --out WORK/decisions.csv
    python recipes/decisions.py --data DATA --work WORK --beds bundled,bundled-strong,bundled-weak --shots 4,16,64

Beds are the profiles of simulated CLIP features that the script at PATH draws, and the forty development classes under
the bundled model (plain, strengthened, weakened). Noise cells are kind:rate, with `tail+` for a long tail and `open+`
for images of no class instead of wrong labels. `--sources features` decides without class vectors, `--sources seen`
from out-of-fold probabilities of a probe that learned the wrong labels.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from beds.bed import Images, corrupted, first
from beds.bundled import bundled, encoded
from beds.measure import measured
from beds.simulated import simulated, tools_of

PROFILES = "objects,pets,actions,food,textures,aircraft"
NOISE = (
    "sym:0,sym:0.01,sym:0.02,sym:0.05,sym:0.1,sym:0.2,sym:0.5,sym:0.75,pair:0.2,pair:0.4,near:0.2,inst:0.2,half:0.25,"
    "tail+sym:0,tail+sym:0.2,open+sym:0.2"
)
COLUMNS = (
    "AP,old AP,zs,lr x zs,cl,nlp,before,after,old after,cl after,changed,true,rate,low,high,holds,recall,precision"
)


def draws(arguments: argparse.Namespace) -> dict[str, Callable[[int, int], Images]]:
    """The beds by name, each a function of seed and images per class."""
    tools = tools_of(arguments.simulated)
    found: dict[str, Callable[[int, int], Images]] = {}
    for name in arguments.beds.split(","):
        if name.startswith("bundled"):
            arrays = encoded(arguments.data, arguments.work)
            kind = name.partition("-")[2] or "plain"
            found[name] = partial(bundled, arrays, classes=arguments.classes, kind=kind)
        else:
            found[name] = partial(simulated, tools, name)
    return found


def parser_of(description: str, *, beds: str, seeds: str, shots: str) -> argparse.ArgumentParser:
    """The options that say which cells are drawn, with these defaults."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulated", type=Path, help="script that draws features and label noise")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--beds", default=beds)
    parser.add_argument("--noise", default=NOISE)
    parser.add_argument("--seeds", default=seeds)
    parser.add_argument("--shots", default=shots)
    parser.add_argument("--classes", type=int, default=20, help="of the bundled beds")
    parser.add_argument("--out", type=Path)
    return parser


def main() -> None:
    """Draw, decide, measure and print the table; rows are appended to `--out` as they are measured."""
    parser = parser_of(__doc__, beds=PROFILES, seeds="101,102,103", shots="16")
    parser.add_argument("--nested", action="store_true", help="fewer images a class are a part of the most")
    parser.add_argument("--sources", default="all", choices=["all", "features", "zero-shot", "seen"])
    arguments = parser.parse_args()
    tools, rows = tools_of(arguments.simulated), []
    for name, draw in draws(arguments).items():
        for seed in map(int, arguments.seeds.split(",")):
            every = list(map(int, arguments.shots.split(",")))
            most = draw(seed, max(every)) if arguments.nested else None
            for shots in every:
                images = draw(seed, shots) if most is None else first(most, shots)
                for noise in arguments.noise.split(","):
                    cell = corrupted(images, noise, seed, tools)
                    row = {"bed": name, "shots": shots, "noise": noise, "seed": seed, "sources": arguments.sources}
                    rows.append(row | measured(cell, arguments.sources, tools))
                if arguments.out:
                    pd.DataFrame(rows).to_csv(arguments.out, index=False)
    table = pd.DataFrame(rows)
    there = [column for column in COLUMNS.split(",") if column in table]
    print(table.groupby(["bed", "shots", "noise"])[there].mean().round(3).to_string())


if __name__ == "__main__":
    main()
