"""Screening by a linear classifier of the true class and a transition matrix: forward correction, VolMinNet, MBEM.

Samples are divided into folds by their content keys. A logistic regression on the features of all other folds predicts
each fold. Forward correction and VolMinNet decide by the posterior of the true class, given the prediction and the
given label. MBEM decides by the prediction alone. `strength` is the parameter C of scikit-learn's logistic regression.
N samples, C classes, D feature size.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from scipy.special import logit, softmax

from srrs.core.confident import canonical, out_of_fold_probs
from srrs.core.labels import one_hot
from srrs.core.linear import LinearClassifier, corrected_loss, fit_linear, out_of_fold_logits, soft_loss
from srrs.records import Floats, Ints, Keys, Partition
from srrs.screening.common import of_given, two_groups
from srrs.screening.estimators import corrected_posterior, dual_t, expected_rate, hoc
from srrs.screening.pooled import estimated_noise, partition_of
from srrs.screening.transition import Transition, symmetric


def forward_corrected(
    labels: Ints,
    features: Floats,
    keys: Keys,
    classes: int,
    *,
    matrix: Floats | Literal["dual-t", "hoc"] = "hoc",
    strength: float = 3.0,
) -> Partition:
    """Fit classifiers of the true class by forward correction (Patrini et al. 2017) with a transition matrix.

    Parameters
    ----------
    labels : (N,) given labels.
    features : (N, D).
    keys : (N,) content keys.
    classes : C.
    matrix : the transition matrix (C, C), or the estimator of the matrix: "hoc" or "dual-t". Any other text raises
        ValueError. Dual-T needs features that predict the labels well. It reads predictions of a logistic regression
        with a tenth of the penalty, because it treats the most confident prediction of each class as certain.
    strength : parameter C of scikit-learn.
    """
    if isinstance(matrix, str):
        if matrix not in ("dual-t", "hoc"):
            raise ValueError(f"Expected the matrix 'dual-t' or 'hoc', but got {matrix!r}")
        if matrix == "dual-t":
            noisy = out_of_fold_probs(features, labels, keys, classes, strength=10 * strength)
            matrix = dual_t(labels, noisy)
        else:
            matrix = hoc(labels, features, classes, order=canonical(keys, labels))[0]
    fixed = torch.from_numpy(np.asarray(matrix, np.float64))

    def fit(rows: Ints) -> LinearClassifier:
        return _fit(features[rows], classes, corrected_loss(labels[rows], fixed), strength)

    logits = out_of_fold_logits(features, keys, canonical(keys, labels), classes, fit)
    return _decided(softmax(logits, axis=1), labels, np.asarray(matrix))


def volminnet(
    labels: Ints, features: Floats, keys: Keys, classes: int, *, volume: float = 1e-4, strength: float = 3.0
) -> Partition:
    """Fit a classifier and a transition matrix T of least volume together (VolMinNet, Li et al. 2021).

    Differences from the published method: the features are frozen; T is the mean of the matrices of all folds; and log
    det T counts as at least C log 0.05 in the loss, where the geometric mean of the eigenvalues is 0.05. Without this
    limit, a singular T would minimize the loss.

    Parameters
    ----------
    labels : (N,) given labels.
    features : (N, D).
    keys : (N,) content keys.
    classes : C.
    volume : weight of log det T in the loss. The mean forward-corrected loss has the weight 1.
    strength : parameter C of scikit-learn.
    """
    matrices: list[Floats] = []

    def fit(rows: Ints) -> LinearClassifier:
        # T is the identity plus 2 sigmoid(w) off the diagonal (published: sigmoid(w)), with rows that are divided by
        # their sums. The first w gives the symmetric matrix with the noise rate 0.3.
        identity = torch.eye(classes)
        w = torch.full((classes, classes), float(logit(0.3 / 0.7 / (classes - 1) / 2)), requires_grad=True)

        def matrix() -> torch.Tensor:
            raw = identity + 2 * (1 - identity) * w.sigmoid()
            return raw / raw.sum(1, keepdim=True)

        def loss(logits: torch.Tensor) -> torch.Tensor:
            fitted = matrix()
            log_volume = (fitted + 1e-6 * identity).slogdet().logabsdet.clamp(min=classes * np.log(0.05))
            return corrected_loss(labels[rows], fitted)(logits) + volume * len(rows) * log_volume

        classifier = fit_linear(
            features[rows], classes, loss, strength=strength, extra=[w], dtype=torch.float32, iterations=100, adam=0.1
        )
        matrices.append(matrix().detach().numpy())
        return classifier

    logits = out_of_fold_logits(features, keys, canonical(keys, labels), classes, fit)
    matrix = np.mean(matrices, axis=0) if matrices else symmetric(classes, 0.3)
    return _decided(softmax(logits, axis=1), labels, matrix)


def mbem(
    labels: Ints, features: Floats, keys: Keys, classes: int, *, rounds: int = 2, strength: float = 3.0
) -> Partition:
    """Alternate between classifier and confusion matrix (MBEM, Khetan et al. 2018), with one label per sample.

    A label is clean if it is the predicted class, else noisy. `p_clean` is its predicted probability. The estimated
    noise rate follows from the confusion matrix. Differences from the published method: predictions are out of fold,
    because a linear classifier predicts nearly every label of its own training samples; and the matrix is smoothed by
    one additional label per predicted class, which is spread evenly over all classes.

    Parameters
    ----------
    labels : (N,) given labels.
    features : (N, D).
    keys : (N,) content keys.
    classes : C.
    rounds : number of alternations.
    strength : parameter C of scikit-learn.
    """
    order = canonical(keys, labels)
    weights = one_hot(labels, classes)
    for _ in range(rounds):
        # Classifier: logistic regression on soft targets; a target is the posterior of the true class, given the label
        targets = weights

        def fit(rows: Ints, targets: Floats = targets) -> LinearClassifier:
            return _fit(features[rows], classes, soft_loss(targets[rows]), strength)

        probs = softmax(out_of_fold_logits(features, keys, order, classes, fit), axis=1)
        # Confusion matrix and class prior, with the predicted classes in place of the true classes
        predicted = one_hot(probs.argmax(1), classes)
        counts = predicted.T @ one_hot(labels, classes) + 1 / classes
        matrix = counts / counts.sum(1, keepdims=True)
        weights = corrected_posterior(np.tile(predicted.mean(0), (len(labels), 1)), labels, matrix)
    rate = float(1 - predicted.mean(0) @ matrix.diagonal())
    found = two_groups(probs.argmax(1) == labels, of_given(probs, labels))
    return replace(found, noise=estimated_noise(rate, len(labels)), posterior=probs)


def _fit(
    features: Floats, classes: int, loss: Callable[[torch.Tensor], torch.Tensor], strength: float
) -> LinearClassifier:
    """Return a fit of 100 iterations in float32. More are not needed: a corrected loss has no single optimum."""
    return fit_linear(features, classes, loss, strength=strength, dtype=torch.float32, iterations=100)


def _decided(probs: Floats, labels: Ints, matrix: Floats) -> Partition:
    posterior = corrected_posterior(probs, labels, matrix)
    return partition_of(Transition(matrix, expected_rate(posterior, labels), posterior), labels)
