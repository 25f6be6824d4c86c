"""Screening by a linear classifier of the true class and a transition matrix: forward correction, VolMinNet, MBEM.

Folds are drawn by content key. Each rule fits logistic regression to the features of the other folds. It decides by the
posterior of the true class, given the prediction and the label. `strength` is the parameter C of logistic regression in
scikit-learn.
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

    `matrix` is the matrix (C, C), or the name of the estimator: HOC or Dual-T. Dual-T treats its most confident samples
    as certain, so it gets predictions with a tenth of the penalty. It needs features that predict the labels well.
    Raises ValueError for any other name.
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

    `volume` is the weight of log det T beside the mean loss. Differences from the published method: the features are
    frozen, T is the mean over the folds, and log det T has a lower limit, where the geometric mean of the eigenvalues
    is 0.05. Without this limit, a singular T would minimize the loss.
    """
    matrices: list[Floats] = []

    def fit(rows: Ints) -> LinearClassifier:
        # T is the normalized I + 2 sigmoid(w) off the diagonal (published: sigmoid(w)); w starts at a rate of 0.3
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

    A label is clean if it is the predicted class. The confusion matrix gives the noise rate. Differences from the
    published method: predictions are out of fold, because a linear classifier predicts every label of its own training
    samples. The matrix is smoothed: each class gets one more label, which is spread evenly over all classes.
    """
    order = canonical(keys, labels)
    weights = one_hot(labels, classes)
    for _ in range(rounds):
        # Classifier: logistic regression on every class, weighted by the posterior given the label alone
        targets = weights

        def fit(rows: Ints, targets: Floats = targets) -> LinearClassifier:
            return _fit(features[rows], classes, soft_loss(targets[rows]), strength)

        probs = softmax(out_of_fold_logits(features, keys, order, classes, fit), axis=1)
        # Confusion matrix and prior, with the predicted classes in place of the true ones
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
    """Return a fit of 100 iterations in float32: corrected losses have no single optimum to converge to."""
    return fit_linear(features, classes, loss, strength=strength, dtype=torch.float32, iterations=100)


def _decided(probs: Floats, labels: Ints, matrix: Floats) -> Partition:
    posterior = corrected_posterior(probs, labels, matrix)
    return partition_of(Transition(matrix, expected_rate(posterior, labels), posterior), labels)
