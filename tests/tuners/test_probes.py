"""The probes against gradient descent by hand and against scikit-learn's logistic regression."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from srrs.errors import SettingsError
from srrs.features.cached import CachedFeatures
from srrs.methods.spec import method
from srrs.records import Batch, Features
from srrs.training.loop import MOMENTUM, train
from srrs.training.schedule import Schedule
from srrs.tuners import Foundation, LinearProbe, LogisticProbe, LogisticResidual, logistic, logistic_residual
from srrs.tuners.logistic import FOLDS, PENALTIES, Rows, calibrated, solve
from srrs.tuners.logistic_residual import sample_weights

CPU = torch.device("cpu")


def clusters(classes: int = 4, each: int = 16, size: int = 24, noise: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Unit-length features within a narrow cone, as CLIP's, and labels of which some are wrong."""
    generator = np.random.default_rng(0)
    shown = np.repeat(np.arange(classes), each)
    features = 1 + 0.5 * generator.standard_normal((classes, size))[shown]
    features = features + generator.standard_normal((len(shown), size))
    wrong = generator.random(len(shown)) < noise
    labels = np.where(wrong, generator.integers(0, classes, len(shown)), shown)
    return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32), labels


def foundation(classes: int, size: int = 24, seed: int = 0) -> Foundation:
    names = tuple(map(str, range(classes)))
    return Foundation(names, size, 100.0, CPU, generator=torch.Generator().manual_seed(seed))


def source_of(features: np.ndarray) -> CachedFeatures:
    keys = np.random.default_rng(3).integers(0, 2**64, len(features), dtype=np.uint64)
    return CachedFeatures(Features(features, np.empty((len(features), 0, features.shape[1]), np.float32)), keys)


def one_hot(labels: np.ndarray, classes: int) -> Tensor:
    return torch.eye(classes)[torch.from_numpy(labels)]


def test_three_steps_of_a_linear_probe_are_gradient_descent_by_hand() -> None:
    features, labels = clusters()
    schedule = Schedule(steps=3, batch=1000, views=1)
    probe = LinearProbe(foundation(4))
    train(method("coop(tuners=probe)"), [probe], source_of(features), labels, schedule)
    weight, velocity, targets = np.zeros((4, 24)), np.zeros((4, 24)), np.eye(4)[labels]
    for step in range(3):
        logits = features @ weight.T
        probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        gradient = (probs - targets).T @ features / len(features)
        velocity = MOMENTUM * velocity + gradient
        weight = weight - 0.4 * 4 * schedule.factor(step) * velocity
    assert np.abs(weight).max() > 0.05
    np.testing.assert_allclose(probe.weight.detach(), weight, atol=1e-5)


@pytest.mark.parametrize("classes", [4, 20])
def test_sixty_steps_of_a_linear_probe_end_near_logistic_regression(classes: int) -> None:
    features, labels = clusters(classes, noise=0.3)
    losses: list[float] = []
    probe = LinearProbe(foundation(classes))
    train(
        method("coop(tuners=probe)"), [probe], source_of(features), labels, Schedule(steps=60, batch=1000, views=1),
        listeners=[lambda event: losses.append(event.values["loss"]) if event.kind == "step" else None],
    )  # fmt: skip
    assert max(losses) == losses[0]  # nothing overshoots
    theirs = LogisticRegression(C=3.0, max_iter=1000).fit(features, labels).predict(features)
    ours = probe.export()(Batch(features=torch.from_numpy(features))).argmax(1).numpy()
    assert (ours == theirs).mean() > 0.9


def assert_is_logistic_regression(weight: Tensor, bias: Tensor, fit: LogisticRegression, features: np.ndarray) -> None:
    """The weights (C, D), the bias (C,) up to a constant, and the predictions are scikit-learn's."""
    ours, own_bias = weight.detach().double().numpy(), bias.detach().double().numpy()
    np.testing.assert_allclose(ours, fit.coef_, atol=1e-3)
    np.testing.assert_allclose(own_bias - own_bias.mean(), fit.intercept_ - fit.intercept_.mean(), atol=1e-3)
    np.testing.assert_array_equal((features @ ours.T + own_bias).argmax(1), fit.predict(features))


@pytest.mark.parametrize("penalty", [0.3, 3.0, 30.0])
def test_the_solution_is_scikit_learns_at_the_same_penalty(penalty: float) -> None:
    features, labels = clusters()
    solution = solve(Rows(torch.from_numpy(features), one_hot(labels, 4), torch.ones(len(labels))), penalty)
    fit = LogisticRegression(C=penalty, max_iter=5000, tol=1e-8).fit(features.astype(np.float64), labels)
    assert_is_logistic_regression(solution.weight, solution.bias, fit, features)


def test_weights_and_soft_targets_count_as_rows_that_are_repeated() -> None:
    features, labels = clusters()
    second, share = (labels + 1) % 4, np.random.default_rng(1).random(len(labels))
    weight = np.random.default_rng(2).random(len(labels)).astype(np.float32)
    soft = torch.from_numpy(np.eye(4)[labels] * share[:, None] + np.eye(4)[second] * (1 - share)[:, None]).float()
    solution = solve(Rows(torch.from_numpy(features), soft, torch.from_numpy(weight)), 10.0)
    fit = LogisticRegression(C=10.0, max_iter=5000, tol=1e-8).fit(
        np.tile(features, (2, 1)).astype(np.float64),
        np.concatenate([labels, second]),
        sample_weight=np.concatenate([weight * share, weight * (1 - share)]),
    )
    assert_is_logistic_regression(solution.weight, solution.bias, fit, features)


def test_the_penalty_is_chosen_by_predictions_out_of_fold() -> None:
    features, labels = clusters(noise=0.4)
    probe = LogisticProbe(foundation(4, seed=5))
    probe.fit(torch.from_numpy(features), one_hot(labels, 4), torch.ones(len(labels)))
    fold = torch.randint(FOLDS, (len(labels),), generator=torch.Generator().manual_seed(5)).numpy()
    losses = []
    for penalty in PENALTIES:
        held_out = 0.0
        for number in range(FOLDS):
            seen, held = fold != number, fold == number
            fit = LogisticRegression(C=penalty, max_iter=5000).fit(features[seen], labels[seen])
            held_out -= fit.predict_log_proba(features[held])[np.arange(held.sum()), labels[held]].sum()
        losses.append(held_out)
    best = PENALTIES[int(np.argmin(losses))]
    assert best < PENALTIES[-1]
    fit = LogisticRegression(C=best, max_iter=5000, tol=1e-8).fit(features.astype(np.float64), labels)
    assert_is_logistic_regression(probe.weight, probe.bias, fit, features)


def test_labels_at_random_get_the_strongest_penalty_and_clear_ones_a_weak_one(monkeypatch) -> None:
    monkeypatch.setattr(logistic, "FOLDS", 2)  # faster
    features, labels = clusters(each=25, noise=0.0)
    chance = np.random.default_rng(4).integers(0, 4, len(labels))

    def length(given: np.ndarray) -> float:
        probe = LogisticProbe(foundation(4))
        probe.fit(torch.from_numpy(features), one_hot(given, 4), torch.ones(len(given)))
        return float(probe.weight.detach().norm())

    weakest = solve(Rows(torch.from_numpy(features), one_hot(chance, 4), torch.ones(len(labels))), PENALTIES[0])
    assert length(chance) == pytest.approx(float(weakest.weight.norm()), rel=1e-4)
    assert length(labels) > 3 * length(chance)


def with_vectors(vectors: np.ndarray) -> Foundation:
    return replace(foundation(len(vectors), vectors.shape[1]), class_vectors=torch.from_numpy(np.float32(vectors)))


def test_a_correction_is_logistic_regression_with_the_untuned_logits_as_one_more_feature() -> None:
    """A weight that all classes share is free where it multiplies a feature that is large enough."""
    features, labels = clusters(noise=0.3)
    offset = features @ np.random.default_rng(5).standard_normal((24, 4)).astype(np.float32) * 2
    rows = Rows(torch.from_numpy(features), one_hot(labels, 4), torch.ones(len(labels)), torch.from_numpy(offset))
    solution = solve(rows, 3.0)

    def objective(free: np.ndarray) -> float:
        weight, bias, temperature = free[:96].reshape(4, 24), free[96:100], free[100]
        logits = features.astype(np.float64) @ weight.T + bias + temperature * offset
        likelihood = (logits - logsumexp(logits, axis=1, keepdims=True))[np.arange(len(labels)), labels].sum()
        return float(-3.0 * likelihood + 0.5 * (weight**2).sum())

    ours = np.concatenate([part.numpy().ravel() for part in (solution.weight, solution.bias, solution.temperature)])
    theirs = minimize(objective, ours, method="L-BFGS-B")
    assert objective(ours) == pytest.approx(theirs.fun, rel=1e-6)
    assert objective(ours) < objective(np.concatenate([np.zeros(100), [1.0]])) - 1


def test_class_vectors_that_know_the_classes_are_kept_and_useless_ones_are_not() -> None:
    features, labels = clusters(each=8, noise=0.0)
    targets, weight = one_hot(labels, 4), torch.ones(len(labels))
    known = np.stack([features[labels == label].mean(0) for label in range(4)])
    probe = LogisticProbe(foundation(4))
    probe.fit(torch.from_numpy(features), targets, weight)
    plain = probe.export()(Batch(features=torch.from_numpy(features))).softmax(1)
    tuned = {}
    for name, vectors in {"known": known, "useless": np.random.default_rng(1).standard_normal((4, 24))}.items():
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        tuner = LogisticResidual(with_vectors(vectors))
        tuner.fit(torch.from_numpy(features), targets, weight)
        tuned[name] = tuner.export().weights @ torch.from_numpy(np.float32(vectors)).T
        assert (tuner.export()(Batch(features=torch.from_numpy(features))).argmax(1) == targets.argmax(1)).all()
    assert plain.argmax(1).equal(targets.argmax(1))
    assert tuned["known"].diagonal().mean() > 5 * tuned["useless"].diagonal().mean().abs()


def test_the_offset_is_calibrated_as_logistic_regression_on_it_alone() -> None:
    generator = np.random.default_rng(2)
    offset = torch.from_numpy(generator.standard_normal((200, 2)))
    wrong = generator.random(200) < 0.2
    labels = np.where(wrong, 1 - offset.argmax(1).numpy(), offset.argmax(1).numpy())
    rows = Rows(torch.zeros(200, 1), one_hot(labels, 2).double(), torch.ones(200), offset)
    difference = (offset[:, 1] - offset[:, 0]).numpy()[:, None]
    theirs = (
        LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-9).fit(difference, labels).predict_proba(difference)
    )
    np.testing.assert_allclose(calibrated(rows), theirs, atol=1e-5)


def test_an_offset_that_contradicts_the_targets_leaves_all_classes_equally_probable() -> None:
    offset = torch.eye(3).repeat(10, 1)
    rows = Rows(torch.zeros(30, 1), torch.eye(3).roll(1, 0).repeat(10, 1), torch.ones(30), offset)
    np.testing.assert_allclose(calibrated(rows), np.full((30, 3), 1 / 3), atol=1e-6)
    np.testing.assert_allclose(sample_weights(rows), np.ones(30), atol=1e-6)


def test_samples_whose_target_the_class_vectors_contradict_weigh_less() -> None:
    generator = np.random.default_rng(4)
    shown = torch.from_numpy(generator.integers(0, 3, 60))
    offset = 4 * torch.eye(3)[shown] + torch.from_numpy(generator.standard_normal((60, 3)).astype(np.float32))
    wrong = torch.arange(60) % 5 == 0
    targets = torch.eye(3)[torch.where(wrong, (shown + 1) % 3, shown)]
    weight = torch.where(torch.arange(60) < 30, 2.0, 0.0)
    found = sample_weights(Rows(torch.zeros(60, 1), targets, weight, offset))
    assert found[wrong].max() < found[~wrong].median()
    assert float((weight * found).sum() / weight.sum()) == pytest.approx(1)


def test_a_correction_learns_less_from_labels_that_the_class_vectors_contradict() -> None:
    """A fifth of each class has the label of the next one, and the class vectors are right."""
    features, labels = clusters(each=20, noise=0.0)
    known = np.stack([features[labels == label].mean(0) for label in range(4)])
    known = known / np.linalg.norm(known, axis=1, keepdims=True)
    given = np.where(np.arange(len(labels)) % 5 == 0, (labels + 1) % 4, labels)
    held, truth = clusters(each=60, noise=0.0)
    right = {}
    for name, exponent in {"weighted": logistic_residual.EXPONENT, "equal": 0.0}.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(logistic_residual, "EXPONENT", exponent)
            tuner = LogisticResidual(with_vectors(known))
            tuner.fit(torch.from_numpy(features), one_hot(given, 4), torch.ones(len(given)))
        probs = tuner.export()(Batch(features=torch.from_numpy(held))).softmax(1)
        right[name] = float(probs[torch.arange(len(truth)), torch.from_numpy(truth)].mean())
    assert right["weighted"] > right["equal"] + 0.03


def test_a_correction_needs_class_vectors() -> None:
    with pytest.raises(SettingsError, match="logistic-residual starts from class vectors, but there are none"):
        LogisticResidual(foundation(4))


@pytest.fixture
def two(monkeypatch) -> None:
    """Two penalties and two folds, which is faster."""
    monkeypatch.setattr(logistic, "PENALTIES", (1.0, 10.0))
    monkeypatch.setattr(logistic, "FOLDS", 2)


SOLVED = "coop(tuners=logistic_probe)"


@pytest.mark.usefixtures("two")
def test_a_method_that_only_solves_takes_no_steps() -> None:
    features, labels = clusters()
    events: list[str] = []
    probe = LogisticProbe(foundation(4))
    tuned = train(
        method(SOLVED), [probe], source_of(features), labels, Schedule(steps=9),
        listeners=[lambda event: events.append(event.kind)],
    )  # fmt: skip
    assert events == ["screening", "screening", "end"]
    assert tuned.text_passes == 0
    logits = probe.export()(Batch(features=torch.from_numpy(features)))
    np.testing.assert_array_equal(tuned.predicted["logistic_probe"], logits.argmax(1))
    assert (tuned.predicted["logistic_probe"] == labels).mean() > 0.7


@pytest.mark.usefixtures("two")
def test_the_solution_is_the_same_bits_whatever_the_order_of_the_rows() -> None:
    features, labels = clusters()
    source, order = source_of(features), np.random.default_rng(2).permutation(len(labels))
    moved = CachedFeatures(source.features.take(order), source.keys[order])
    one = train(method(SOLVED), [LogisticProbe(foundation(4))], source, labels)
    other = train(method(SOLVED), [LogisticProbe(foundation(4))], moved, labels[order])
    assert torch.equal(one.classifier.weights, other.classifier.weights)
    np.testing.assert_array_equal(one.predicted["logistic_probe"][order], other.predicted["logistic_probe"])


@pytest.mark.usefixtures("two")
def test_a_probe_that_is_solved_may_stand_beside_one_that_takes_steps() -> None:
    features, labels = clusters()
    both = method("coop(tuners=[linear_probe,logistic_probe])")
    stepped, solved = LinearProbe(foundation(4)), LogisticProbe(foundation(4))
    tuned = train(both, [stepped, solved], source_of(features), labels, Schedule(steps=5))
    alone = LinearProbe(foundation(4))
    train(method("coop(tuners=probe)"), [alone], source_of(features), labels, Schedule(steps=5))
    assert torch.equal(stepped.weight, alone.weight)
    expected = LogisticProbe(foundation(4))
    train(method(SOLVED), [expected], source_of(features), labels)
    assert torch.equal(solved.weight, expected.weight)
    assert tuned.predicted.keys() == {"linear_probe", "logistic_probe"}
