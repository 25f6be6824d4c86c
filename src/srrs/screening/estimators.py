"""Estimators of the transition matrix T[k, j] = P(given label j | true class k). N samples, C classes."""

import numpy as np

from srrs.core.labels import one_hot
from srrs.core.neighbors import nearest_in_order
from srrs.records import Floats, Ints
from srrs.screening.common import of_given
from srrs.screening.transition import symmetric


def dual_t(labels: Ints, pred_probs: Floats) -> Floats:
    """Estimate T by the two factors of Dual-T (Yao et al. 2020), from predictions (N, C) of the *given* labels.

    The predicted label stands between true and given label. The predictions should not have seen the sample's label.
    """
    classes = pred_probs.shape[1]
    # First factor P(predicted | true): the prediction at the anchor of each class, its most confident sample
    first = pred_probs[pred_probs.argmax(0)]
    # Second factor P(given | predicted): counted; a class that is never predicted keeps its label
    predicted = pred_probs.argmax(1)
    counts = one_hot(predicted, classes).T @ one_hot(labels, classes)
    empty = counts.sum(1) == 0
    counts[empty, empty] = 1
    matrix: Floats = first @ (counts / counts.sum(1, keepdims=True))
    return np.asarray(matrix / matrix.sum(1, keepdims=True))


def hoc(
    labels: Ints,
    features: Floats,
    classes: int,
    *,
    order: Ints | None = None,
    shrink: float = 12.0,
    start: float = 0.3,
    iterations: int = 100,
) -> tuple[Floats, Floats]:
    """Estimate T and the class prior (C,) from the labels of each sample and its two nearest neighbors.

    HOC (Zhu et al. 2021): if the three images share a true class, the frequencies of their label triples determine T.
    HOC matches the frequencies by gradient descent. This is the maximum-likelihood estimate from the same triples, by
    EM, which needs no C³ table. Compares all pairs of samples.

    Parameters
    ----------
    order : (N,) order of the samples in which ties among neighbors are broken.
    shrink : labels per class that are added and follow the symmetric matrix; with few images, T would otherwise be 0
        for most pairs of classes.
    start : rate of the symmetric matrix that EM starts from.
    """
    neighbors, _ = nearest_in_order(features, min(2, len(labels) - 1), order)
    neighbors = neighbors[:, [0, -1]]
    triples = np.column_stack([labels, labels[neighbors]])
    matrix, prior = symmetric(classes, start), np.full(classes, 1 / classes)
    given = [one_hot(triples[:, v], classes) for v in range(3)]
    for _ in range(iterations):
        # E step: posterior of the shared true class of each triple
        joint = np.log(prior) + sum(np.log(matrix[:, triples[:, v]].T + 1e-12) for v in range(3))
        q = np.exp(joint - joint.max(1, keepdims=True))
        q /= q.sum(1, keepdims=True)
        # M step: prior and matrix from expected counts
        counts = sum(q.T @ each for each in given)
        rate = 1 - np.trace(counts) / counts.sum()
        counts = counts + shrink * symmetric(classes, rate)
        matrix, prior = counts / counts.sum(1, keepdims=True), (q.sum(0) + 1e-6) / (len(q) + 1e-6 * classes)
    return matrix, prior


def given_is_true(labels: Ints, matrix: Floats, prior: Floats) -> Floats:
    """Return the probability (C,) that a label is right, for each given class: T_jj p_j / P(given j)."""
    share = np.bincount(labels, minlength=len(prior)) / len(labels)
    right = matrix.diagonal() * prior / np.maximum(share, 1e-12)
    return np.asarray(np.clip(right, 0, 1))


def corrected_posterior(probs: Floats, labels: Ints, matrix: Floats) -> Floats:
    """Return the posterior (N, C) of the true class: predictions of the true class times T at the given label."""
    joint = np.maximum(probs, 1e-12) * (matrix[:, labels].T + 1e-12)
    posterior: Floats = joint / joint.sum(1, keepdims=True)
    return posterior


def expected_rate(posterior: Floats, labels: Ints) -> float:
    """Return the expected share of wrong labels."""
    return float(1 - of_given(posterior, labels).mean())
