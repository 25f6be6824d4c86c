"""Estimators of the transition matrix T[k, j] = P(given label j | true class k). N samples, C classes."""

import numpy as np

from srrs.core.labels import one_hot
from srrs.core.neighbors import nearest_in_order
from srrs.records import Floats, Ints
from srrs.screening.common import of_given
from srrs.screening.transition import symmetric


def dual_t(labels: Ints, pred_probs: Floats) -> Floats:
    """Estimate T (C, C) as the product of two matrices (Dual-T, Yao et al. 2020).

    The first matrix has the probability of each predicted class for each true class. The second matrix has the
    probability of each given label for each predicted class.

    Parameters
    ----------
    labels : (N,) given labels.
    pred_probs : (N, C) predictions of the *given* labels, which should be out of fold.
    """
    classes = pred_probs.shape[1]
    # First factor P(predicted | true): the most confident prediction of each class
    first = pred_probs[pred_probs.argmax(0)]
    # Second factor P(given | predicted), from counts; a class that is never predicted gets a 1 on the diagonal
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
    """Estimate T (C, C) and the class prior (C,) from the labels of each sample and of its two nearest neighbors.

    HOC (Zhu et al. 2021) assumes that the three images have the same true class; then the frequencies of their label
    triples determine T. The published method fits the frequencies by gradient descent. This function computes the
    maximum-likelihood estimate from the same triples by expectation maximization (EM), which needs no table of C³
    entries. It compares all pairs of samples.

    Parameters
    ----------
    labels : (N,) given labels.
    features : (N, D) of unit length.
    classes : C.
    order : (N,) positions of the samples, in the order that breaks ties among neighbors; by default 0 to N - 1.
    shrink : number of labels per class that are added, with the frequencies of the symmetric matrix. Without them, T
        would be zero for most pairs of classes if there are few images.
    start : noise rate of the symmetric matrix from which EM starts.
    iterations : number of EM iterations.
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
    """Return the probability (C,) that a given label j is right: `T_jj p_j / P(given j)`.

    p is the class prior (C,), and P(given j) is the share of j among the given labels (N,).
    """
    share = np.bincount(labels, minlength=len(prior)) / len(labels)
    right = matrix.diagonal() * prior / np.maximum(share, 1e-12)
    return np.asarray(np.clip(right, 0, 1))


def corrected_posterior(probs: Floats, labels: Ints, matrix: Floats) -> Floats:
    """Return the posterior (N, C) of the true class k of each sample i: `probs[i, k] T[k, y_i]`, normalized."""
    joint = np.maximum(probs, 1e-12) * (matrix[:, labels].T + 1e-12)
    posterior: Floats = joint / joint.sum(1, keepdims=True)
    return posterior


def expected_rate(posterior: Floats, labels: Ints) -> float:
    """Return the expected share of wrong labels (N,) under the posterior (N, C)."""
    return float(1 - of_given(posterior, labels).mean())
