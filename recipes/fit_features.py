"""Accuracy of `fit` on embeddings beside logistic regression on the same features and labels, on simulated beds.

    python recipes/fit_features.py --simulated PATH/clip_like.py --beds pets,food,textures --seeds 101,102,103

Each class has `--shots` images with noisy labels to learn from and 20 others to test on. The rows are `srrs`, the
untuned class vectors, and logistic regression (scikit-learn, the better of C = 3 and 30, which no user could choose).
`permuted+` before a kind of noise makes the class vectors useless. Noise is as in `decisions.py`.
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from beds.bed import Cell, Images, among_first, corrupted, first
from beds.simulated import simulated, tools_of
from srrs import RobustClassifier

TESTED = 20
PENALTIES = (3.0, 30.0)


def divided(images: Images, shots: int) -> tuple[Images, np.ndarray, np.ndarray]:
    """The first `shots` images of each class, and features and classes of the others."""
    seen = among_first(images.truth, shots)
    return first(images, shots), images.features[~seen], images.truth[~seen]


def accuracies(cell: Cell, features: np.ndarray, truth: np.ndarray, method: str) -> dict[str, float]:
    """Share of the test images that each classifier gets right."""
    names = np.array([f"class {label:04d}" for label in range(len(cell.vectors))])
    logistic = [LogisticRegression(C=C, max_iter=300).fit(cell.features, cell.given) for C in PENALTIES]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # findings about the data
        tuned = RobustClassifier(model="none", method=method)
        tuned.fit(cell.features, names[cell.given], class_vectors=cell.vectors)
    return {
        method: float((np.asarray(tuned.predict(features)) == names[truth]).mean()),
        "zero-shot": float(((features @ cell.vectors.T).argmax(1) == truth).mean()),
        "logistic regression": max(float((fit.predict(features) == truth).mean()) for fit in logistic),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulated", type=Path, required=True, help="script that draws features and label noise")
    parser.add_argument("--beds", default="objects,pets,actions,food,textures,aircraft")
    parser.add_argument("--noise", default="sym:0,sym:0.2,sym:0.5,pair:0.4,permuted+sym:0.2")
    parser.add_argument("--seeds", default="101,102,103")
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--method", default="srrs")
    asked = parser.parse_args()
    tools, rows = tools_of(asked.simulated), []
    for bed in asked.beds.split(","):
        for seed in map(int, asked.seeds.split(",")):
            train, features, truth = divided(simulated(tools, bed, seed, asked.shots + TESTED), asked.shots)
            for noise in asked.noise.split(","):
                found = accuracies(corrupted(train, noise, seed, tools), features, truth, asked.method)
                rows.append({"bed": bed, "noise": noise, "seed": seed} | found)
                print(rows[-1], file=sys.stderr, flush=True)
    means = pd.DataFrame(rows).drop(columns="seed").groupby(["bed", "noise"], sort=False).mean()
    print((100 * means).round(1).to_string())


if __name__ == "__main__":
    main()
