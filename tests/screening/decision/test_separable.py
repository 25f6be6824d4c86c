"""Features alone, classes that lie well apart: wrong labels must be found, whatever their pattern.

The labels cannot tell "soft images and no wrong label" from "sharp images and wrong labels": both give the same
P(label | image) where classes are separable. The images can: under the true classes each class is one tight cluster,
under swapped labels a mixture of two.
"""

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_wine

from srrs.screening.decision import decide


def corrupted(truth: np.ndarray, classes: int, kind: str, rate: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    wrong = rng.random(len(truth)) < rate
    step = np.ones(len(truth), int) if kind == "pair" else rng.integers(1, classes, len(truth))
    return np.where(wrong, (truth + step) % classes, truth)


@pytest.mark.parametrize("kind", ["sym", "pair"])
@pytest.mark.parametrize(("classes", "apart"), [(3, 2.0), (3, 1.0), (10, 2.0), (10, 1.0)])
def test_wrong_labels_of_classes_that_lie_apart_are_found(classes: int, apart: float, kind: str) -> None:
    rng = np.random.default_rng(1)
    truth = np.arange(100 * classes) % classes
    features = apart * rng.normal(size=(classes, 32))[truth] + rng.normal(size=(len(truth), 32))
    given = corrupted(truth, classes, kind, 0.2)
    found = decide(given, classes=classes, features=features)
    assert abs(found.noise.rate - (given != truth).mean()) < 0.05
    assert (found.target != truth).mean() < 0.2 * (given != truth).mean()


@pytest.mark.parametrize("kind", ["sym", "pair"])
@pytest.mark.parametrize("load", [load_digits, load_wine])
def test_wrong_labels_of_measured_data_are_found(load, kind: str) -> None:
    features, truth = load(return_X_y=True)
    features = (features - features.mean(0)) / (features.std(0) + 1e-6)
    given = corrupted(truth, int(truth.max()) + 1, kind, 0.2)
    found = decide(given, classes=int(truth.max()) + 1, features=features)
    assert (found.target != truth).mean() < 0.4 * (given != truth).mean()
