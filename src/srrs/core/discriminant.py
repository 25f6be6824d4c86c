"""Linear discriminant analysis with soft labels. N samples, C classes, D feature size."""

import numpy as np
from numpy.typing import NDArray

from srrs.core.projection import projection

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]


def out_of_fold(features: Floats, soft: Floats, fold: Ints, *, shrink: float = 0.5, temper: float = 0.1) -> Floats:
    """Return out-of-fold predictions (N, C) of Gaussian classes with a common covariance.

    Each fold is predicted by classes that are fitted to all other folds. With a single fold, every class gets the
    probability 1 / C. Very long features are projected, see `srrs.core.projection`.

    Parameters
    ----------
    features : (N, D).
    soft : (N, C) label probabilities.
    fold : (N,) the fold of each sample.
    shrink : weight (0..1) of a multiple of the identity matrix in the covariance.
    temper : power of the likelihood. It is below 1, because the dimensions of a feature are not independent.
    """
    if (towards := projection(features.shape[1])) is not None:
        features = np.asarray(features, np.float32) @ towards
    features = np.asarray(features, np.float64)
    probs = np.full(soft.shape, 1 / soft.shape[1])
    numbers = np.unique(fold)
    for number in numbers if len(numbers) > 1 else []:
        held = fold == number
        probs[held] = _predict(features[~held], soft[~held], features[held], shrink, temper)
    return probs


def _predict(features: Floats, soft: Floats, held: Floats, shrink: float, temper: float) -> Floats:
    """Return the predictions (M, C) for `held` (M, D) of classes that are fitted to `features` and `soft`."""
    weight, center = soft.sum(0), features.mean(0)
    means = (soft.T @ features + center) / (weight[:, None] + 1)  # the mean of a class without images is the center
    between = (means - center).T @ ((means - center) * weight[:, None])
    within = ((features - center).T @ (features - center) - between) / len(features)
    sphere = max(np.trace(within) / len(within), 1e-12) * np.eye(len(within))
    towards = np.linalg.solve((1 - shrink) * within + shrink * sphere, means.T)
    logits = temper * (held @ towards - 0.5 * (means.T * towards).sum(0))
    exponent = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(exponent / exponent.sum(1, keepdims=True))
