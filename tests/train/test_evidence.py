"""Evidence against plain numpy."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from scipy.stats import entropy

from srrs.core import blocks
from srrs.train.evidence import gather, predict, zero_shot_probs


def weights(task, learners: int, seed: int = 0) -> torch.Tensor:
    drawn = torch.randn(learners, 3, task.model.feature_size, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn, dim=2)


def zero_shot(task) -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.ones(3), len(task.labels))


def test_probabilities_average_the_views_logits(task) -> None:
    heads = weights(task, 2)
    found = gather(task, heads, zero_shot(task))
    every = np.concatenate([task.plain[:, None], task.views], 1)
    logits = task.model.logit_scale * np.einsum("nvd,kcd->nvkc", every, heads.numpy())
    np.testing.assert_allclose(found.probs, softmax(logits.mean(1), axis=2), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found.features, axis=1), 1, atol=1e-6)
    assert found.ids == task.ids
    np.testing.assert_array_equal(found.labels, task.labels)
    np.testing.assert_array_equal(found.zero_shot, zero_shot(task))


def test_the_loss_of_two_learners_is_the_papers(task) -> None:
    found = gather(task, weights(task, 2), zero_shot(task))
    p, rows = found.probs.astype(float), np.arange(24)
    a, b = p[:, 0], p[:, 1]
    matching = -np.log(a[rows, task.labels]) - np.log(b[rows, task.labels])
    disagreement = entropy(a, b, axis=1) + entropy(b, a, axis=1)
    doubt = entropy(a, axis=1) + entropy(b, axis=1)
    np.testing.assert_allclose(found.loss, matching + 0.5 * disagreement + 0.001 * doubt, rtol=1e-3)


def test_the_loss_of_one_learner_is_cross_entropy_and_it_agrees_with_itself(task) -> None:
    heads = weights(task, 1)
    found = gather(task, heads, zero_shot(task))
    logits = task.model.logit_scale * task.mean_view.numpy() @ heads[0].numpy().T
    np.testing.assert_allclose(found.loss, -log_softmax(logits, 1)[np.arange(24), task.labels], rtol=1e-4)
    np.testing.assert_array_equal(found.agreement, 1)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 99), length=st.floats(0, 50))
def test_agreement_lies_between_none_and_full(task, seed: int, length: float) -> None:
    found = gather(task, length * weights(task, 2, seed), zero_shot(task))
    assert ((found.agreement >= 0) & (found.agreement <= 1)).all()


def test_learners_that_are_equal_agree_fully_and_opposed_ones_hardly(task) -> None:
    same = gather(task, weights(task, 1).expand(2, -1, -1), zero_shot(task))
    np.testing.assert_allclose(same.agreement, 1, atol=1e-5)
    one = torch.zeros(3, task.model.feature_size)
    one[0] = 50 * task.mean_view[0] / task.mean_view[0].norm() ** 2
    opposed = gather(task, torch.stack([one, one.roll(1, 0)]), zero_shot(task))
    assert opposed.agreement[0] < 0.01


def test_permuting_samples_permutes_the_evidence(task) -> None:
    order = np.random.default_rng(1).permutation(24)
    shuffled = replace(
        task,
        ids=tuple(task.ids[i] for i in order),
        labels=task.labels[order],
        plain=task.plain[order],
        views=task.views[order],
    )
    found = gather(task, weights(task, 2), zero_shot(task))
    moved = gather(shuffled, weights(task, 2), zero_shot(task)[order])
    assert moved.ids == tuple(found.ids[i] for i in order)
    for name in ("probs", "zero_shot", "features", "loss", "agreement"):
        np.testing.assert_allclose(getattr(moved, name), getattr(found, name)[order], atol=1e-4)


def test_predictions_average_the_learners_logits(task) -> None:
    heads, features = weights(task, 2), torch.from_numpy(task.plain)
    logits = [7.0 * task.plain @ head.numpy().T for head in heads]
    expected = softmax(np.mean(logits, 0), axis=1)
    np.testing.assert_allclose(predict(7.0, features, heads).numpy(), expected, atol=1e-6)
    assert predict(7.0, features, heads).numpy() == pytest.approx(predict(7.0, features, heads.flip(0)).numpy())


@pytest.mark.parametrize("voters", [None, 1])
@pytest.mark.parametrize("views", [0, 2])
def test_evidence_gathered_in_blocks_is_that_gathered_at_once(
    task, monkeypatch, voters: int | None, views: int
) -> None:
    some = replace(task, views=task.views[:, :views])
    at_once = gather(some, weights(task, 2), zero_shot(task), voters)
    untuned = zero_shot_probs(some, weights(task, 1)[0])
    monkeypatch.setattr(blocks, "WHOLE", 10)
    monkeypatch.setattr(blocks, "ROWS", 7)
    many = replace(some)  # without what the first kept
    found = gather(many, weights(task, 2), zero_shot(task), voters)
    assert "all_views" not in vars(many)
    for name in ("probs", "loss", "agreement", *(["logits"] if voters else [])):
        np.testing.assert_allclose(getattr(found, name), getattr(at_once, name), atol=1e-5)
    np.testing.assert_allclose(found.features, at_once.features, atol=1e-3)
    np.testing.assert_allclose(zero_shot_probs(many, weights(task, 1)[0]), untuned, atol=1e-6)
