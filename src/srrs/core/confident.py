"""Confident learning (Northcutt et al. 2021): wrong labels from out-of-fold predictions.

N samples, C classes, D feature size. `probs` (N, C) are out-of-fold predictions, `labels` (N,) the given labels.
Thresholds, confident joint and issues equal those of cleanlab 2 with its default settings.
"""

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from srrs.core.keyed import Keys, folds

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
Bools = NDArray[np.bool_]

TOLERANCE = 1e-6
"""Probabilities closer than this count as equal."""
NEVER = 2.0
"""Threshold of a class without labels, which no probability reaches."""


def class_thresholds(probs: Floats, labels: Ints) -> Floats:
    """Return the threshold (C,) of each class: its mean probability over the samples with its label."""
    counts = np.bincount(labels, minlength=probs.shape[1])
    means = [probs[labels == k, k].mean() if counts[k] else NEVER for k in range(len(counts))]
    return np.maximum(means, 2 * TOLERANCE)


def confident_joint(probs: Floats, labels: Ints) -> Ints:
    """Estimate the number (C, C) of samples for each given label (row) and true class (column): the confident joint.

    A sample is counted for the class whose threshold its probability reaches. If it reaches several thresholds, it is
    counted for its most probable class. If it reaches none, it is not counted. The diagonal is raised to at least 1.
    Each row is then scaled to the number of given labels of its class, and rounded.
    """
    classes = probs.shape[1]
    reached = probs >= class_thresholds(probs, labels) - TOLERANCE
    guess = np.where(reached.sum(1) > 1, probs.argmax(1), reached.argmax(1))
    sure = reached.any(1)
    counted = np.bincount(guess[sure] * classes + labels[sure], minlength=classes**2).reshape(classes, classes)
    np.fill_diagonal(counted, np.maximum(counted.diagonal(), 1))
    scaled = (counted / counted.sum(0) * np.bincount(labels, minlength=classes)).T
    return _rounded(scaled / scaled.sum() * len(labels))


def label_issues(probs: Floats, labels: Ints, joint: Ints | None = None) -> Bools:
    """Return which labels (N,) are likely wrong, by cleanlab's "prune by noise rate".

    The confident joint (C, C) gives the number of issues for each pair of given label and true class; `joint` is
    computed by default. The issues are the samples with the largest margin, which is the probability of the true class
    minus that of the given class. A sample whose most probable class is the given label is never an issue, and at least
    one sample of every class is no issue. Ties are broken by position. Sort the samples if their order must not matter.
    """
    remove = _leaving_one(confident_joint(probs, labels) if joint is None else joint)
    issues = np.zeros(len(labels), dtype=bool)
    for given, row in enumerate(remove):
        members = np.flatnonzero(labels == given)
        if len(members) < 2:
            continue
        for true in np.flatnonzero(row):
            if true != given:
                margin = probs[members, true] - probs[members, given]
                issues[members[np.argsort(-margin)[: row[true]]]] = True
    favored = np.array(probs, np.float64)
    favored[np.arange(len(labels)), labels] += TOLERANCE
    return np.asarray(issues & (favored.argmax(1) != labels))


def out_of_fold_probs(
    features: Floats,
    labels: Ints,
    keys: Keys,
    classes: int,
    *,
    fold_count: int = 5,
    seed: int = 0,
    strength: float = 3.0,
) -> Floats:
    """Return out-of-fold predictions (N, C) of logistic regression.

    Each fold is predicted by a regression that is fitted to all other folds of `features` (N, D) and `labels` (N,).
    Folds are drawn by `keys` (N,) and `seed`. See `linear_probe` for `strength`.
    """
    fold, order = folds(keys, fold_count, seed), canonical(keys, labels)
    probs = np.zeros((len(labels), classes))
    for number in np.unique(fold):
        held, seen = fold == number, order[fold[order] != number]
        probs[held] = linear_probe(features[seen], labels[seen], features[held], classes, strength=strength)
    return probs


def linear_probe(
    features: Floats, labels: Ints, held: Floats, classes: int, *, strength: float = 3.0, balanced: bool = False
) -> Floats:
    """Fit logistic regression to features (N, D) and labels (N,), and return predictions (M, C) for `held` (M, D).

    The features are centered, and scaled such that the sum of their variances is 1. `strength` is the parameter C of
    scikit-learn for the scaled features; with a high value, the regression learns the noise. With `balanced`, all
    classes have the same total weight. A class without labels gets the probability 0. Without any label, all classes
    get the same probability.
    """
    present = np.unique(labels)
    probs = np.zeros((len(held), classes))
    if len(present) < 2:
        return probs + (np.eye(classes)[present[0]] if len(present) else 1 / classes)
    centered = features.astype(np.float64) - features.mean(0)
    spread = np.sqrt((centered**2).sum(1).mean()) + 1e-12
    fit = LogisticRegression(C=strength, class_weight="balanced" if balanced else None, max_iter=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # max_iter limits the time
        fit.fit(centered / spread, labels)
    probs[:, present] = fit.predict_proba((held - features.mean(0)) / spread)
    return probs


def canonical(keys: Keys, labels: Ints) -> Ints:
    """Return the positions (N,) of the samples, sorted by key and label. Their order in the arrays has no effect."""
    return np.asarray(np.lexsort((labels, keys)))


def _leaving_one(joint: Ints) -> Ints:
    """Return the joint (C, C) with a diagonal of at least 1. The other entries of a row are lowered to compensate."""
    diagonal = np.maximum(joint.diagonal(), 1)
    lift = diagonal - joint.diagonal()
    others = np.maximum(np.count_nonzero(joint, axis=1) - 1, 1)
    left = np.maximum(joint - (lift / others)[:, None], 0)
    np.fill_diagonal(left, diagonal)
    return np.asarray(left, np.int64)


def _rounded(values: Floats) -> Ints:
    """Return the values (R, C), rounded to whole numbers such that row sums stay the same.

    If rounding changes the sum of a row, the entries with the largest rounding errors are changed by 1.
    """
    whole = values.round()
    for exact, row in zip(values, whole, strict=True):
        while missing := int(exact.sum().round() - row.sum()):
            order = np.argsort(exact - row)
            row[order[::-1][:missing] if missing > 0 else order[:-missing]] += np.sign(missing)
    return whole.astype(np.int64)
