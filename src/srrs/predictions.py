"""Predictions as a table, and their accuracy where labels are at hand."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from srrs.data.pictures import file_of
from srrs.errors import DataError
from srrs.records import Bools, Floats

if TYPE_CHECKING:
    import pandas as pd

    from srrs.data.samples import Samples


def table(samples: "Samples", probs: Floats, class_names: Sequence[str] | np.ndarray) -> "pd.DataFrame":
    """`id, path, predicted, confidence, issue`, a row per sample in the user's order; empty where nothing was read."""
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
    """Share of usable labelled samples whose label is the most probable class."""
    rows = samples.usable
    if not len(rows):
        raise DataError(f"Expected labelled photographs to test on, but found none usable among {len(samples)}.")
    return float((probs[rows].argmax(1) == np.asarray(samples.labels)[rows]).mean())
