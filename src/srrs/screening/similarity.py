"""Screening by similarity to the prompts and to the images of the same label (Robust Similarity, Li 2024).

N samples, C classes, D feature size.
"""

import numpy as np

from srrs.core.mixture import fit_two, posterior_low
from srrs.records import Floats, Ints, Partition
from srrs.screening.common import of_given, one_cut, two_groups


def robust_similarity(
    labels: Ints, probs: Floats, features: Floats, *, weight: float, threshold: float = 0.5, seed: int = 0
) -> Partition:
    """Split the samples of each class by their similarity to the prompts and to the images with the same label.

    The score of a sample is the weighted mean of the two similarities. A mixture of two Gaussians is fitted to the
    scores of each class.

    Parameters
    ----------
    labels : (N,) given labels.
    probs : (N, C) predictions of the prompts. The similarity to the prompts is the log-probability of the given class.
    features : (N, D) of unit length. The similarity to the images is minus the mean distance (`class_distances`).
    weight : weight of the similarity to the prompts; the similarity to the images has the weight `1 - weight`. Both
        similarities are standardized within the class.
    threshold : a label is clean if the component with the higher mean has at least this probability, else noisy.
    seed : initializes the mixtures.
    """
    unlikely = _standardized(-np.log(of_given(probs, labels) + 1e-12), labels)
    far = _standardized(class_distances(features, labels), labels)
    score = weight * unlikely + (1 - weight) * far
    p_clean = np.empty(len(score))
    for k in np.unique(labels):
        members = labels == k
        p_clean[members] = posterior_low(score[members], fit_two(score[members], seed, max_iter=10, tol=1e-2))
    return two_groups(p_clean >= threshold, p_clean, one_cut("p_clean", p_clean, threshold))


def class_distances(features: Floats, labels: Ints, chunk: int = 512) -> Floats:
    """Return the mean Euclidean distance (N,) of each feature (N, D) from all features with the same label.

    The distance 0 of a feature from itself is part of the mean. The features have unit length. `chunk` rows of
    distances are in memory at a time.
    """
    mean = np.empty(len(labels))
    for k in np.unique(labels):
        members = np.flatnonzero(labels == k)
        own = features[members].astype(np.float64)
        for start in range(0, len(members), chunk):
            rows = slice(start, start + chunk)
            mean[members[rows]] = np.sqrt(np.maximum(2 - 2 * own[rows] @ own.T, 0)).mean(1)
    return mean


def _standardized(values: Floats, labels: Ints) -> Floats:
    """Return the values (N,), standardized within each label (N,); 0 if all values of a label are equal."""
    result = np.zeros(len(values))
    for k in np.unique(labels):
        own = values[labels == k]
        spread = own.std()
        if spread > 1e-9:
            result[labels == k] = (own - own.mean()) / spread
    return result
