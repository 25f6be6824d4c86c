"""Screening by multimodal neighbors (LEMoN, Zhang et al. 2025). N samples, C classes, D feature size."""

import numpy as np
from scipy.signal import argrelextrema
from scipy.stats import gaussian_kde

from srrs.core.mixture import normalize
from srrs.core.neighbors import nearest_in_order
from srrs.records import Floats, Group, Ints, NoiseEstimate, Partition
from srrs.screening.common import of_given, one_cut


def lemon_scores(
    labels: Ints,
    features: Floats,
    class_vectors: Floats,
    *,
    k: int = 30,
    beta: float = 5.0,
    gamma: float = 5.0,
    tau_1: float = 0.1,
    tau_2: float = 5.0,
    order: Ints | None = None,
) -> Floats:
    """Return LEMoN's score (N,) of each label, `d_mm + beta s_n + gamma s_m`. A higher score is worse.

    All distances are cosine distances, and the distance of two labels is that of their class vectors. `d_mm` is the
    distance of the image from the class vector of its label. `s_n` is the weighted mean distance of the label from the
    labels of the nearest images. `s_m` is the weighted mean distance of the image from the images with the nearest
    labels. The default values are the fixed hyperparameters of the paper.

    Parameters
    ----------
    labels : (N,) given labels.
    features, class_vectors : (N, D) and (C, D), of unit length.
    k : number of neighbors. The neighbors of a label are all other samples of the given class, and of the classes with
        the nearest vectors until there are at least k samples. The paper takes k of these samples, in no particular
        order.
    beta, gamma : weights of `s_n` and `s_m`.
    tau_1, tau_2 : the weight of a neighbor is exp(-tau_1 distance) exp(-tau_2 d_mm), with the distance by which it is a
        neighbor, and its own `d_mm`.
    order : (N,) positions of the samples, in the order that breaks ties among neighbors; by default 0 to N - 1.
    """
    x, t = np.asarray(features, np.float64), np.asarray(class_vectors, np.float64)
    to_classes, between = 1 - x @ t.T, 1 - t @ t.T
    # Distance of image and label
    d_mm = of_given(to_classes, labels)
    # Neighbors of the image: distances of their labels from the label of the sample
    indices, similarity = nearest_in_order(features, min(k, len(labels) - 1), order)
    trust = np.exp(-tau_1 * (1 - similarity.astype(np.float64))) * np.exp(-tau_2 * d_mm[indices])
    s_n = (trust * between[labels[:, None], labels[indices]]).mean(1)
    # Neighbors of the label: distances of their images from the image of the sample
    s_m, counts = np.zeros(len(labels)), np.bincount(labels, minlength=len(t))
    for y in np.unique(labels):
        nearest_first = np.lexsort((np.arange(len(t)), between[y], np.arange(len(t)) != y))
        enough = np.cumsum(counts[nearest_first]) - 1 >= k  # without the sample itself
        near = nearest_first[: int(enough.argmax()) + 1 if enough.any() else len(t)]
        members, pool = np.flatnonzero(labels == y), np.flatnonzero(np.isin(labels, near))
        trust = np.exp(-tau_1 * between[y, labels[pool]]) * np.exp(-tau_2 * d_mm[pool])
        far = (1 - x[members] @ x[pool].T) * trust
        far[np.arange(len(members)), np.searchsorted(pool, members)] = 0
        s_m[members] = far.sum(1) / max(len(pool) - 1, 1)
    return np.asarray(d_mm + beta * s_n + gamma * s_m)


def lemon(
    labels: Ints, features: Floats, class_vectors: Floats, *, k: int = 30, order: Ints | None = None
) -> Partition:
    """Call a label noisy if its score is at least the threshold, else clean (LEMoN without clean labels).

    The score is that of `lemon_scores`. As in the released code, the threshold is the median of the local minima of a
    Gaussian kernel density of the scores. If the density has no local minimum, the threshold is the mean score.
    `p_clean` is the score, scaled to 0..1 and reversed. It is only a ranking, not a probability.

    Parameters
    ----------
    labels : (N,) given labels.
    features, class_vectors : (N, D) and (C, D), of unit length.
    k, order : see `lemon_scores`.
    """
    score = lemon_scores(labels, features, class_vectors, k=k, order=order)
    threshold = float(score.mean())
    if np.ptp(score) > 1e-9:
        grid = np.linspace(score.min(), score.max(), 1000)
        valleys = grid[argrelextrema(gaussian_kde(np.sort(score))(grid), np.less)]
        threshold = float(np.median(valleys)) if len(valleys) else threshold
    group = np.where(score < threshold, Group.CLEAN, Group.NOISY).astype(np.int8)
    rate = float((group == Group.NOISY).mean())
    return Partition(group, 1 - normalize(score), NoiseEstimate(rate, rate, rate), one_cut("lemon", score, threshold))
