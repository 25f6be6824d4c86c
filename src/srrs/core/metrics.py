"""Metrics that compare with the true labels. Only this file and the data protocols read true labels.

N samples, C classes, R runs. `quality` (N,) is the score that ranks the given labels; 0 is the worst value. `wrong`
(N,) is true for a sample whose given label is not the true label.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]
Bools = NDArray[np.bool_]

DRAWS_AT_ONCE = 100
"""Number of bootstrap draws whose counts are in memory at the same time."""


def accuracy(predicted: Ints, truth: Ints) -> float:
    """Return the share of correct predictions (N,), from 0 to 1."""
    return float(np.mean(np.asarray(predicted) == np.asarray(truth)))


def macro_f1(predicted: Ints, truth: Ints) -> float:
    """Return the F1 score averaged over the classes that occur in `truth`, from 0 to 1."""
    return float(f1_score(truth, predicted, labels=np.unique(truth), average="macro", zero_division=0))


def expected_calibration_error(probs: Floats, truth: Ints, bins: int = 15) -> float:
    """Return the mean difference between confidence and accuracy, for probabilities (N, C).

    Samples are grouped into bins of equal width of the confidence, and the mean is weighted by the size of the bins.
    """
    probs = np.asarray(probs, np.float64)
    confidence = probs.max(1)
    gap = (probs.argmax(1) == np.asarray(truth)) - confidence
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return float(np.abs(np.bincount(bin_of, gap, bins)).sum() / len(probs))


def audit_auroc(quality: Floats, wrong: Bools) -> float | None:
    """Return the area under the ROC curve of `1 - quality` as a score for wrong labels.

    The result is None if all labels are right or all are wrong.
    """
    wrong = np.asarray(wrong, bool)
    return float(roc_auc_score(wrong, 1 - np.asarray(quality))) if 0 < wrong.sum() < len(wrong) else None


def average_precision(quality: Floats, wrong: Bools) -> float | None:
    """Return the average precision of `1 - quality` as a score for wrong labels.

    The result is None if all labels are right or all are wrong.
    """
    wrong = np.asarray(wrong, bool)
    return float(average_precision_score(wrong, 1 - np.asarray(quality))) if 0 < wrong.sum() < len(wrong) else None


class PrecisionRecall(NamedTuple):
    """Precision is the share of flagged labels that are wrong. Recall is the share of wrong labels that are flagged.

    A share is None if there are no labels to divide by.
    """

    precision: float | None
    recall: float | None


def precision_recall(noisy: Bools, wrong: Bools) -> PrecisionRecall:
    """Return the precision and the recall of the flags `noisy` (N,) for the wrong labels."""
    noisy, wrong = np.asarray(noisy, bool), np.asarray(wrong, bool)
    hits = int((noisy & wrong).sum())
    return PrecisionRecall(
        precision=hits / int(noisy.sum()) if noisy.any() else None,
        recall=hits / int(wrong.sum()) if wrong.any() else None,
    )


def label_noise(labels: Ints, truth: Ints) -> float:
    """Return the share of wrong labels, from 0 to 1."""
    return float(np.mean(np.asarray(labels) != np.asarray(truth)))


class Difference(NamedTuple):
    """A difference of two accuracies, with the bounds of its confidence interval."""

    mean: float
    low: float
    high: float


def paired_bootstrap(
    correct_a: Bools, correct_b: Bools, seed: int, n: int = 2000, *, level: float = 0.95
) -> Difference:
    """Return the accuracy of a minus the accuracy of b, with a percentile interval from `n` bootstrap draws.

    `correct_a` and `correct_b` are (R, N), or (N,) for one run, with the same runs (seeds) and the same test samples.
    Each draw resamples runs and samples with replacement, so that the interval covers new seeds and new samples.
    `level` is the confidence level of the interval. Raises ValueError if the shapes differ or are empty.
    """
    a, b = np.atleast_2d(correct_a), np.atleast_2d(correct_b)
    if a.shape != b.shape or not a.size:
        raise ValueError(f"Expected the same runs and samples for both, but got shapes {a.shape} and {b.shape}")
    gain = a.astype(np.int8) - b.astype(np.int8)
    draws = resample(gain, np.random.default_rng(seed), n)
    low, high = np.quantile(draws, ((1 - level) / 2, (1 + level) / 2))
    return Difference(float(gain.mean()), float(low), float(high))


def resample(values: Ints, generator: np.random.Generator, draws: int = 2000) -> Floats:
    """Return bootstrap means (draws,) of values (R, N) in -1..1. Each draw resamples the R runs and the N samples.

    Samples with the same values in all runs are resampled as one multinomial group, which makes the bootstrap fast.
    """
    runs, images = values.shape
    kind = np.zeros(images, np.int64)
    for row in values:
        kind = np.unique(3 * kind + row, return_inverse=True)[1]
    _, first, counts = np.unique(kind, return_index=True, return_counts=True)
    drawn = generator.multinomial(images, counts / images, draws) @ values[:, first].T.astype(np.float64)
    times = generator.multinomial(runs, np.full(runs, 1 / runs), draws)
    means: Floats = (times * drawn).sum(1) / (runs * images)
    return means


def resample_macro_f1(predicted: Ints, truth: Ints, generator: np.random.Generator, draws: int = 1000) -> Floats:
    """Return bootstrap draws (draws,) of the mean macro-F1 of R runs with predictions (R, N) of the same N samples.

    Each draw resamples the runs and the samples. Two calls with equal generators and shapes resample the same samples,
    so the difference of their results is a paired bootstrap. The score of a draw is the mean over the classes that
    occur in the draw.
    """
    runs, samples = predicted.shape
    times = generator.multinomial(runs, np.full(runs, 1 / runs), draws)
    scores = []
    for start in range(0, draws, DRAWS_AT_ONCE):
        count = min(DRAWS_AT_ONCE, draws - start)
        drawn = generator.multinomial(samples, np.full(samples, 1 / samples), count).T.astype(np.float64)
        scores.append(np.stack([_macro_f1_of_draws(each, truth, drawn) for each in predicted], axis=1))
    means: Floats = (times * np.concatenate(scores)).sum(1) / runs
    return means


def _macro_f1_of_draws(predicted: Ints, truth: Ints, drawn: Floats) -> Floats:
    """Return the macro-F1 (draws,) of predictions (N,), where `drawn` (N, draws) counts how often each is drawn."""
    classes = int(max(predicted.max(), truth.max())) + 1
    support = _counts(truth, drawn, classes)
    right = _counts(np.where(predicted == truth, truth, classes), drawn, classes + 1)[:classes]
    f1 = 2 * right / np.maximum(support + _counts(predicted, drawn, classes), 1)
    score: Floats = f1.sum(0) / (support > 0).sum(0)  # the F1 of a class without samples in the draw is 0
    return score


def _counts(numbers: Ints, drawn: Floats, classes: int) -> Floats:
    """Return how often each class occurs in each draw (classes, draws), for class numbers (N,) of the samples."""
    member = csr_array((np.ones(len(numbers)), (numbers, np.arange(len(numbers)))), shape=(classes, len(numbers)))
    counts: Floats = member @ drawn
    return counts
