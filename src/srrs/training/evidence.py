"""Computation of the evidence that a screening reads, in blocks of rows if there are very many samples.

N samples, n of them at given positions, C classes, D feature size.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from srrs.core.blocks import by_blocks
from srrs.core.many import ComputedRows, is_huge
from srrs.features.source import ViewSource
from srrs.records import Batch, Evidence, Floats, Ints, MatchScores
from srrs.tuners.base import Classifier, Head

Logits = Callable[[slice], Tensor]
"""Function from a slice of positions to the logits (n, C) of the samples, averaged over all views."""
AT_ONCE = 256
"""Number of samples that a non-linear classifier reads at a time. It needs every view of them, perhaps as pixels."""


@dataclass(frozen=True)
class Question:
    """The input of a run: samples, their given labels, and the predictions of the frozen models."""

    source: ViewSource
    labels: Ints
    """(N,) given labels."""
    classes: int
    """Number of classes C."""
    zero_shot: Classifier | Floats | None = None
    """The untuned classifier, or its probabilities (N, C); None if there are no class names or class vectors."""
    match: MatchScores | None = None
    """The scores of the image-text matcher; None without a matcher."""

    def untuned(self) -> Floats | None:
        """Return the probabilities (N, C) of the untuned classifier; None without one.

        A large array is computed when its rows are read.
        """
        if self.zero_shot is None or isinstance(self.zero_shot, np.ndarray):
            return self.zero_shot
        logits = logits_of(self.zero_shot, self.source)
        if isinstance(self.zero_shot, Head) and is_huge(len(self.labels), self.classes):
            shape = (len(self.labels), self.classes)
            return cast(Floats, ComputedRows(shape, lambda rows: logits(rows).softmax(1).cpu().numpy()))
        return by_blocks(len(self.labels), lambda rows: {"probs": logits(rows).softmax(1)})["probs"]

    def class_vectors(self) -> Floats | None:
        """Return unit vectors (C, D) of the untuned classes; None if the untuned classifier is not linear."""
        if not isinstance(self.zero_shot, Head):
            return None
        return np.asarray(torch.nn.functional.normalize(self.zero_shot.weights, dim=1).cpu())


@torch.no_grad()
def gather(
    question: Question,
    tuned: Mapping[str, Classifier],
    voters: tuple[str, ...],
    zero_shot: Floats | None,
    reads: frozenset[str],
) -> Evidence:
    """Return the evidence of every sample, with the fields in `reads` that are available.

    Parameters
    ----------
    question : the input of the run.
    tuned : the current classifiers by the names of their tuners.
    voters : names of the tuners that vote.
    zero_shot : (N, C) probabilities of the untuned classifier.
    reads : names of the optional fields of the evidence.
    """
    source = question.source
    wanted = tuned if "logits" in reads else {}
    return Evidence(
        keys=source.keys,
        labels=question.labels,
        classes=question.classes,
        logits=_arrays({name: logits_of(classifier, source) for name, classifier in wanted.items()}, source),
        voters=voters if wanted else (),
        zero_shot=zero_shot if "zero_shot" in reads else None,
        features=source.unit_features() if "features" in reads else None,
        class_vectors=question.class_vectors() if "class_vectors" in reads else None,
        match=question.match if "match" in reads else None,
    )


@torch.no_grad()
def predicted_classes(classifiers: Mapping[str, Classifier], source: ViewSource) -> dict[str, Ints]:
    """Return the class (N,) that each classifier predicts, by name."""
    logits = {name: logits_of(classifier, source) for name, classifier in classifiers.items()}
    return {name: array.astype(np.int64) for name, array in _arrays(logits, source, highest=True).items()}


def logits_of(classifier: Classifier, source: ViewSource) -> Logits:
    """Return a function from positions to the logits (n, C) of a classifier, averaged over all views.

    For a linear classifier, the function reads the mean of the views. For any other classifier, it reads every view.
    """
    if isinstance(classifier, Head):
        return lambda rows: classifier(Batch(features=source.mean_view(rows)))
    views = 1 + (source.augmented or 0)

    def mean(rows: Ints) -> Tensor:
        every = np.tile(np.arange(views), (len(rows), 1))
        return classifier(source.batch(rows, every)).view(len(rows), views, -1).mean(1)

    def by_parts(rows: slice) -> Tensor:
        numbers = np.arange(*rows.indices(len(source.keys)))
        return torch.cat([mean(numbers[start : start + AT_ONCE]) for start in range(0, len(numbers), AT_ONCE)])

    return by_parts


def _arrays(logits: Mapping[str, Logits], source: ViewSource, highest: bool = False) -> dict[str, Floats]:
    """Return the logits (N, C) by name; with `highest`, the class (N,) with the highest logit."""
    if not logits:
        return {}

    def of(rows: slice) -> dict[str, Tensor]:
        found = {name: of(rows).float() for name, of in logits.items()}
        return {name: values.argmax(1) for name, values in found.items()} if highest else found

    return by_blocks(len(source.keys), of)
