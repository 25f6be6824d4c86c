"""Functions on predictions: a table, the accuracy on labels, and logistic regression for comparison.

N samples, C classes, D feature size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from srrs.data.pictures import file_of
from srrs.errors import DataError
from srrs.records import Bools, Floats, Ints

if TYPE_CHECKING:
    import pandas as pd

    from srrs.data.samples import Samples


def table(samples: "Samples", probs: Floats, class_names: Sequence[str] | np.ndarray) -> "pd.DataFrame":
    """Return the table of predictions, one row per sample in the user's order.

    The columns are `id`, `path`, `predicted`, `confidence` and `issue`. `predicted` and `confidence` are empty for a
    sample that could not be read.

    Parameters
    ----------
    samples : the N samples.
    probs : (N, C) probabilities; NaN for a sample that could not be read.
    class_names : (C,) the class names.
    """
    import pandas as pd

    known: Bools = np.asarray(~np.isnan(probs).any(axis=1))
    best = np.where(known[:, None], probs, 0).argmax(1)
    return pd.DataFrame(
        {
            "id": samples.ids,
            "path": [file_of(p) for p in samples.paths],
            "predicted": pd.Series(
                [class_names[b] if k else None for b, k in zip(best, known, strict=True)], dtype=object
            ),
            "confidence": np.where(known, np.where(known[:, None], probs, 0).max(1), np.nan),
            "issue": ["" if i == "no label" else i for i in samples.issues],
        }
    )


def accuracy(samples: "Samples", probs: Floats) -> float:
    """Return the share of usable labeled samples whose label is the most probable class.

    `probs` (N, C) are the probabilities of all samples. Raises DataError if no sample is usable.
    """
    rows = samples.usable
    if not len(rows):
        raise DataError(f"Expected labeled images to test on, but found none usable among {len(samples)}.")
    return float((probs[rows].argmax(1) == np.asarray(samples.labels)[rows]).mean())


MOST = 5_000
"""Largest number of images for logistic regression. If there are more images, a random part is used."""
FOLDS = 5
"""Number of folds of the cross-validation."""
STRENGTHS = (0.003, 0.03, 0.3)
"""Candidates for the inverse regularization strength (`C`), for features of unit variance."""


@dataclass(frozen=True)
class Baseline:
    """Logistic regression on the features with which a classifier was tuned."""

    accuracy: float
    """Cross-validated share of the given labels that logistic regression predicts."""
    model: Any
    """Pipeline of scikit-learn, fitted on all images (at most `MOST`)."""

    def test(self, features: Floats, labels: Ints) -> float:
        """Return the accuracy of the baseline on features (T, D) of T test images with class numbers (T,)."""
        return float((self.model.predict(np.asarray(features, np.float32)) == labels).mean())


def logistic_baseline(features: Floats, labels: Ints, seed: int = 0) -> Baseline | None:
    """Return logistic regression on features (N, D), with its cross-validated accuracy on the given labels (N,).

    The strength of the regularization is the one with the highest cross-validated accuracy. The result is None if there
    are fewer than ten images, or fewer than two classes in all images or in a training fold. `seed` is that of the
    folds.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import KFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = np.arange(len(labels))
    if len(rows) > MOST:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST, replace=False))
    seen, given = np.asarray(features[rows], np.float32), np.asarray(labels)[rows]
    if len(rows) < 10 or len(np.unique(given)) < 2:
        return None
    folds = list(KFold(FOLDS, shuffle=True, random_state=seed).split(seen))
    if min(len(np.unique(given[train])) for train, _ in folds) < 2:
        return None
    models = [make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=200)) for strength in STRENGTHS]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        hits = [
            sum(
                int((model.fit(seen[train], given[train]).predict(seen[test]) == given[test]).sum())
                for train, test in folds
            )
            for model in models
        ]
        best = int(np.argmax(hits))
        return Baseline(hits[best] / len(rows), models[best].fit(seen, given))
