"""The checked inputs of the decision, and the scores of single sources.

N images, n of them at given positions, C classes, D feature size, K candidate classes per image.
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
"""Number of folds."""
SAMPLE, SAMPLE_OF_CLASS = 8_192, 96
"""Numbers of images on which the hypotheses are fitted: in total, and per class. The larger total is used."""
CANDIDATES = 64
"""Number of candidate classes per image, besides the given class, if there are more than DENSE classes. Each source
contributes the same number."""
DENSE = 256
"""Number of classes up to which all classes are candidates."""
CELLS = 2**22
"""Number of entries (rows times columns) of one block."""
ASKED = 10
"""Number of classes that the matcher scores for each image, besides the given class."""
UNLIKELY = 30.0
"""A class of probability 0 gets a log-probability that is at least this much below the highest one."""
_DRAW = 2  # number of this draw for `uniforms`; the draw of the folds has the number 1


@dataclass(frozen=True)
class Inputs:
    """The arrays that the caller gave, after a check of their shapes, with keys and folds (see `decide`)."""

    labels: Ints
    """(N,) given labels."""
    classes: int
    features: Floats | None
    """(N, D)"""
    zero_shot: Floats | None
    """(N, C) logits or log-probabilities of a model that never saw the labels."""
    match: MatchScores | Floats | None
    """Matcher scores as a function of positions and classes, or log odds (N, C)."""
    pred_probs: Floats | None
    """(N, C) out-of-fold probabilities of a model that learned from the labels."""
    keys: Keys
    """(N,) content keys."""
    fold: Ints
    """(N,) fold of each image, 0 to FOLDS - 1."""
    order: Ints
    """(N,) positions of the images, sorted by key and label."""
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
        """Check the arrays, and derive keys and folds.

        Raises ValueError if shapes do not fit, there are no labels, a label is out of range, or none of `features`,
        `zero_shot` and `pred_probs` is given.
        """
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
        """Return the positions (n,) of the images on which the hypotheses are fitted, sorted by key."""
        wanted = max(SAMPLE, SAMPLE_OF_CLASS * self.classes) / len(self.labels)
        if wanted >= 1:
            return self.order
        return self.order[uniforms(self.keys[self.order], self.seed, _DRAW) < wanted]

    def log_zero_shot(self, rows: Ints) -> Floats:
        """Return the log-probabilities (n, C) of the zero-shot model for the images at `rows` (n,), in float32."""
        assert self.zero_shot is not None
        scores = np.asarray(self.zero_shot[rows], np.float32)
        # the logarithm of a probability of 0 is -inf: such a class counts as unlikely, not as impossible
        possible = np.isfinite(scores)
        if not possible.all():
            least = np.where(possible, scores, np.inf).min(1, keepdims=True)
            scores = np.where(possible, scores, np.minimum(least, scores.max(1, keepdims=True) - UNLIKELY))
        return np.asarray(log_softmax(scores, axis=1))

    def log_predicted(self, rows: Ints) -> Floats:
        """Return the logarithm (n, C) of the given predictions for the images at `rows` (n,), in float32."""
        assert self.pred_probs is not None
        return np.log(np.maximum(np.asarray(self.pred_probs[rows], np.float32), 1e-6))

    def match_odds(self, rows: Ints) -> Floats:
        """Return the matcher's log odds (n, C) for the images at the positions `rows` (n,), in float32.

        If `match` is a function, it scores the given class and the ASKED most probable classes of the zero-shot
        prediction (or of the given predictions). All other classes get the median of the scores of these ASKED classes.
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
    """Yield slices that cover 0..count in order. An array with `width` columns has at most CELLS entries per slice."""
    step = max(1, CELLS // max(width, 1))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def candidates(log_probs: list[Floats], labels: Ints, classes: int) -> Ints:
    """Return the candidate classes (n, K) of each image, sorted by number.

    Up to DENSE classes, all classes are candidates. Otherwise, the candidates are the given class (`labels`, (n,)) and
    the CANDIDATES // S most probable classes of each of the S sources (`log_probs`, each (n, C)).
    """
    n = len(labels)
    if classes <= DENSE:
        return np.broadcast_to(np.arange(classes), (n, classes))
    share = CANDIDATES // len(log_probs)
    chosen = [np.argpartition(-scores, share, axis=1)[:, :share] for scores in log_probs]
    found = np.sort(np.column_stack([*chosen, labels]), axis=1)
    # each class that was chosen twice gives way to the first class that is not a candidate yet
    again = np.zeros(found.shape, bool)
    again[:, 1:] = np.diff(found, axis=1) == 0
    room = min(classes, 3 * CANDIDATES)
    spare = np.ones((n, room), bool)
    row, place = np.nonzero(found < room)
    spare[row, found[row, place]] = False
    spare &= spare.cumsum(1) <= again.sum(1, keepdims=True)
    found[again] = np.nonzero(spare)[1]
    found.sort(axis=1)
    return np.asarray(found)


def narrowed(scores: Floats, index: Ints) -> Floats:
    """Return the scores of the candidate classes `index` (n, K), from the scores (n, C) of all classes.

    The result is (n, K + 1): its last column is the mean score of all other classes. If all classes are candidates, the
    result is the argument `scores`.
    """
    n, k = index.shape
    if k == scores.shape[1]:
        return scores
    found = np.empty((n, k + 1), np.float32)
    found[:, :k] = np.take_along_axis(scores, index, axis=1)
    found[:, k] = (scores.sum(1) - found[:, :k].sum(1)) / (scores.shape[1] - k)
    return found


def balancing(log_probs: Floats, target: Floats, steps: int = 30) -> Floats:
    """Return the offset (C,) for which the mean of softmax(log_probs + offset) over the images is `target` (C,).

    `log_probs` is (n, C). The offset is found by damped fixed-point iteration.
    """
    offset = np.zeros(log_probs.shape[1], np.float32)
    for _ in range(steps):
        raised = np.exp(log_softmax(log_probs + offset, axis=1))
        offset += 0.5 * np.log(target / (raised.mean(0, dtype=np.float64) + 1e-9)).astype(np.float32)
        offset -= offset.mean()
    return offset
