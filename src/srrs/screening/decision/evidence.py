"""The evidence for the true class of the images that the model is fitted on, and how scores of all images are read.

N images, C classes, D feature size, K candidate classes per image, F folds.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from srrs.core.keyed import Keys, folds, uniforms
from srrs.records import MatchScores
from srrs.screening.decision.keys import row_keys

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

FOLDS = 5
SAMPLE, SAMPLE_OF_CLASS = 8_192, 96
"""Images that the model is fitted on: so many, or so many per class where that is more."""
CANDIDATES = 64
"""Candidate classes per image where there are more than DENSE classes; all classes otherwise."""
DENSE = 256
CELLS = 2**22
"""Entries of one block of rows."""
ASKED = 10
"""Classes by which a matcher judges an image, beside the given one."""
UNLIKELY = 30.0
"""How far a class of probability 0 lies below the likeliest one, in logarithms, at least."""
_DRAW = 2  # purpose of the keyed draw; 1 are the folds


@dataclass(frozen=True)
class Inputs:
    """What the caller gave, checked, and what is derived from it for every image."""

    labels: Ints
    """(N,)"""
    classes: int
    features: Floats | None
    """(N, D)"""
    zero_shot: Floats | None
    """(N, C) logits or log-probabilities of a model that never saw the labels."""
    match: MatchScores | Floats | None
    pred_probs: Floats | None
    """(N, C) out-of-fold probabilities of a model that learned from the labels."""
    keys: Keys
    fold: Ints
    """(N,)"""
    order: Ints
    """(N,) the images in an order that follows from their content."""
    seed: int

    @classmethod
    def of(
        cls,
        labels: Ints,
        classes: int,
        features: Floats | None,
        zero_shot: Floats | None,
        match: MatchScores | Floats | None,
        pred_probs: Floats | None,
        keys: Keys | None,
        seed: int,
    ) -> "Inputs":
        """Check shapes and derive keys and folds; ValueError where shapes do not fit or no source is given."""
        labels = np.asarray(labels, np.int64)
        n = len(labels)
        for name, array in (("features", features), ("zero_shot", zero_shot), ("pred_probs", pred_probs)):
            if array is not None and (array.ndim != 2 or len(array) != n):
                raise ValueError(f"{name} must have one row per label ({n}), but has shape {array.shape}")
            if array is not None and name != "features" and array.shape[1] != classes:
                raise ValueError(f"{name} must have {classes} columns, but has shape {array.shape}")
        if n == 0 or labels.min() < 0 or labels.max() >= classes:
            raise ValueError(f"labels must be numbers from 0 to {classes - 1}, and there must be one at least")
        content = next((a for a in (features, zero_shot, pred_probs) if a is not None), None)
        if content is None:
            raise ValueError("Expected features, zero_shot or pred_probs, but got none of them.")
        if keys is None:
            keys = np.concatenate([row_keys(np.asarray(content[rows])) for rows in blocks(n, content.shape[1])])
        order = np.lexsort((labels, keys))
        fold = folds(keys, FOLDS, seed)
        return cls(labels, classes, features, zero_shot, match, pred_probs, keys, fold, order, seed)

    def drawn(self) -> Ints:
        """Return the rows that the model is fitted on, in canonical order."""
        wanted = max(SAMPLE, SAMPLE_OF_CLASS * self.classes) / len(self.labels)
        if wanted >= 1:
            return self.order
        return self.order[uniforms(self.keys[self.order], self.seed, _DRAW) < wanted]

    def log_zero_shot(self, rows: Ints) -> Floats:
        """Return log-probabilities (n, C) of the zero-shot model for these rows, float32."""
        assert self.zero_shot is not None
        scores = np.asarray(self.zero_shot[rows], np.float32)
        # the logarithm of a probability of 0 is -inf: such a class counts as unlikely, not as impossible
        possible = np.isfinite(scores)
        if not possible.all():
            least = np.where(possible, scores, np.inf).min(1, keepdims=True)
            scores = np.where(possible, scores, np.minimum(least, scores.max(1, keepdims=True) - UNLIKELY))
        return np.asarray(log_softmax(scores, axis=1))

    def log_predicted(self, rows: Ints) -> Floats:
        """Return log-probabilities (n, C) of the given predictions for these rows, float32."""
        assert self.pred_probs is not None
        return np.log(np.maximum(np.asarray(self.pred_probs[rows], np.float32), 1e-6))

    def match_odds(self, rows: Ints) -> Floats:
        """Return the matcher's log odds (n, C) for these rows.

        A matcher that is called judges the given class and the ASKED likeliest ones; the other classes get the median.
        """
        assert self.match is not None
        if not callable(self.match):
            return np.asarray(self.match[rows], np.float32)
        ahead = self.log_zero_shot(rows) if self.zero_shot is not None else self.log_predicted(rows)
        likely = np.argsort(-ahead, axis=1, kind="stable")[:, :ASKED]
        asked = np.column_stack([likely, self.labels[rows]])
        score = self.match(np.asarray(rows).repeat(asked.shape[1]), asked.ravel())
        score = np.clip(np.asarray(score, np.float64), 1e-4, 1 - 1e-4).reshape(asked.shape)
        odds = np.log(score) - np.log1p(-score)
        every = np.median(odds[:, :-1], axis=1, keepdims=True).repeat(self.classes, axis=1)
        np.put_along_axis(every, asked, odds, axis=1)
        return np.asarray(every, np.float32)


def blocks(count: int, width: int) -> Iterator[slice]:
    """Slices of at most CELLS / width rows that cover `count` rows."""
    step = max(1, CELLS // max(width, 1))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def candidates(log_probs: list[Floats], labels: Ints, classes: int) -> Ints:
    """Return the candidate classes (n, K): the likeliest ones of each source in turn and the given class.

    All classes in order where there are at most DENSE of them.
    """
    n = len(labels)
    if classes <= DENSE:
        return np.broadcast_to(np.arange(classes), (n, classes))
    share = CANDIDATES // len(log_probs)
    chosen = [np.argpartition(-scores, share, axis=1)[:, :share] for scores in log_probs]
    found = np.sort(np.column_stack([*chosen, labels]), axis=1)
    # a class that was chosen twice is counted once: its second place goes to a class that is not there yet
    twice = np.flatnonzero((np.diff(found, axis=1) == 0).any(1))
    for row in twice:
        there = np.unique(found[row])
        spare = np.setdiff1d(np.arange(min(classes, 3 * CANDIDATES)), there)[: found.shape[1] - len(there)]
        found[row] = np.sort(np.concatenate([there, spare]))
    return np.asarray(found)


def narrowed(scores: Floats, index: Ints) -> Floats:
    """Return the scores (n, C) of the candidates `index` (n, K), and in one more column the mean of all other classes.

    As they are where all classes are candidates.
    """
    n, k = index.shape
    if k == scores.shape[1]:
        return scores
    found = np.empty((n, k + 1), np.float32)
    found[:, :k] = np.take_along_axis(scores, index, axis=1)
    found[:, k] = (scores.sum(1) - found[:, :k].sum(1)) / (scores.shape[1] - k)
    return found


def balancing(log_probs: Floats, target: Floats, steps: int = 30) -> Floats:
    """Return the offset (C,) by which the mean of softmax(log_probs + offset) is the `target` (C,), in damped steps."""
    offset = np.zeros(log_probs.shape[1], np.float32)
    for _ in range(steps):
        raised = np.exp(log_softmax(log_probs + offset, axis=1))
        offset += 0.5 * np.log(target / (raised.mean(0, dtype=np.float64) + 1e-9)).astype(np.float32)
        offset -= offset.mean()
    return offset
