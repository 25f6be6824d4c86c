"""Linear classifiers against scikit-learn's logistic regression and against the loss by hand."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from srrs.core.linear import corrected_loss, fit_linear, out_of_fold_logits, soft_loss


def drawn(n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = np.arange(n) % 3
    return np.eye(3, 6)[labels] + 0.5 * generator.standard_normal((n, 6)), labels


def test_the_fit_is_scikit_learns_logistic_regression() -> None:
    features, labels = drawn()
    found = fit_linear(features, 3, soft_loss(np.eye(3)[labels]), strength=2.0)
    scaled = (features - found.center) / found.spread
    theirs = LogisticRegression(C=2.0, tol=1e-8, max_iter=2000).fit(scaled, labels)
    logits = found.logits(features)
    ours = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(ours, theirs.predict_proba(scaled), atol=1e-4)


def test_the_corrected_loss_is_that_of_the_prediction_times_the_matrix() -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrix = np.array([[0.8, 0.1, 0.1], [0.0, 0.9, 0.1], [0.3, 0.3, 0.4]])
    labels = np.array([0, 1, 2, 1, 0])
    expected = -np.log((logits.softmax(1).numpy() @ matrix)[np.arange(5), labels]).sum()
    np.testing.assert_allclose(float(corrected_loss(labels, torch.from_numpy(matrix))(logits)), expected)
    plain = corrected_loss(labels, torch.eye(3))(logits)
    np.testing.assert_allclose(float(plain), float(soft_loss(np.eye(3)[labels])(logits)))


def test_what_the_loss_depends_on_is_fitted_along_by_either_optimizer() -> None:
    features, labels = drawn()
    for adam in (None, 0.1):
        shift = torch.zeros(3, dtype=torch.float64, requires_grad=True)
        base = soft_loss(np.eye(3)[labels])

        def loss(logits: torch.Tensor, shift: torch.Tensor = shift, base=base) -> torch.Tensor:
            return base(logits) + (shift - 2).square().sum()

        fit_linear(features, 3, loss, extra=[shift], adam=adam)
        np.testing.assert_allclose(shift.detach().numpy(), 2, atol=1e-2)


def test_no_sample_is_predicted_by_a_classifier_that_saw_it() -> None:
    features, labels = drawn(60)
    keys, order, seen = np.arange(60, dtype=np.uint64), np.arange(60)[::-1], []

    def fit(rows: np.ndarray):
        seen.append(rows)
        return fit_linear(features[rows], 3, soft_loss(np.eye(3)[labels[rows]]))

    logits = out_of_fold_logits(features, keys, order, 3, fit)
    assert (logits.argmax(1) == labels).mean() > 0.7
    assert all((np.diff(rows) < 0).all() for rows in seen)  # in the order that was asked for
    assert np.isin(np.arange(60), np.concatenate([np.setdiff1d(order, rows) for rows in seen])).all()
    alone = out_of_fold_logits(features[:1], keys[:1], np.arange(1), 3, fit)
    np.testing.assert_array_equal(alone, 0)
