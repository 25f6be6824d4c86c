import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy as scipy_entropy
from sklearn.metrics import log_loss
from torch import Tensor

from srrs.core import losses

LOGITS = st.lists(st.floats(-60, 60), min_size=3, max_size=3)
PAIR = {
    "jeffreys": losses.jeffreys,
    "js": losses.jensen_shannon,
    "ce": losses.soft_cross_entropy,
    "dspt": losses.double_softmax_cross_entropy,
    "gce": lambda a, b: losses.generalized_cross_entropy(a, b, 0.7),
}


def log_probs(seed: int, rows: int = 6, classes: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, classes, generator=generator, dtype=torch.float64).mul(3).log_softmax(-1)


def one_hot(*labels: int, classes: int = 4) -> Tensor:
    return torch.eye(classes, dtype=torch.float64)[list(labels)]


def test_cross_entropy_equals_scikit_learns_log_loss_on_hard_labels() -> None:
    log_p, labels = log_probs(0), [0, 3, 2, 1, 1, 0]
    ours = losses.soft_cross_entropy(log_p, one_hot(*labels)).mean()
    assert ours.item() == pytest.approx(log_loss(labels, log_p.exp().numpy(), labels=range(4)))


def test_cross_entropy_equals_torchs_on_soft_labels() -> None:
    logits, soft = log_probs(0), log_probs(1).exp()
    theirs = torch.nn.functional.cross_entropy(logits, soft, reduction="none")
    torch.testing.assert_close(losses.soft_cross_entropy(logits, soft), theirs)


def test_generalized_cross_entropy_by_hand() -> None:
    log_p = torch.tensor([[0.25, 0.75]]).log()
    loss = losses.generalized_cross_entropy(log_p, torch.tensor([[0.5, 0.5]]), 0.5)
    assert loss.item() == pytest.approx(0.5 * (1 - 0.5) / 0.5 + 0.5 * (1 - math.sqrt(0.75)) / 0.5)


def test_generalized_cross_entropy_joins_cross_entropy_and_absolute_error_continuously() -> None:
    log_p, soft = log_probs(2), one_hot(0, 1, 2, 3, 0, 1)
    cross, absolute = losses.soft_cross_entropy(log_p, soft), (log_p.exp() - soft).abs().sum(1) / 2
    torch.testing.assert_close(losses.generalized_cross_entropy(log_p, soft, 0), cross)
    torch.testing.assert_close(losses.generalized_cross_entropy(log_p, soft, 1e-7), cross, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(losses.generalized_cross_entropy(log_p, soft, 1), absolute)
    torch.testing.assert_close(losses.generalized_cross_entropy(log_p, soft, 1 - 1e-7), absolute, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan])
def test_generalized_cross_entropy_refuses_other_exponents(q: float) -> None:
    with pytest.raises(ValueError, match="Expected q between 0"):
        losses.generalized_cross_entropy(log_probs(0), log_probs(1).exp(), q)


def test_divergences_and_entropy_equal_scipys() -> None:
    log_p, log_q = log_probs(3), log_probs(4)
    p, q = log_p.exp().numpy(), log_q.exp().numpy()
    symmetric = scipy_entropy(p, q, axis=1) + scipy_entropy(q, p, axis=1)
    np.testing.assert_allclose(losses.jeffreys(log_p, log_q), symmetric)
    np.testing.assert_allclose(losses.jensen_shannon(log_p, log_q), jensenshannon(p, q, axis=1) ** 2)
    np.testing.assert_allclose(losses.entropy(log_p), scipy_entropy(p, axis=1))


@settings(max_examples=60, deadline=None)
@given(LOGITS, LOGITS)
def test_divergences_are_symmetric_and_bounded(a: list[float], b: list[float]) -> None:
    p, q = (torch.tensor([x]).log_softmax(-1) for x in (a, b))
    assert losses.jeffreys(p, q).item() >= 0
    assert losses.jeffreys(p, q).item() == losses.jeffreys(q, p).item()
    assert 0 <= losses.jensen_shannon(p, q).item() <= math.log(2) + 1e-6
    assert losses.jensen_shannon(p, q).item() == pytest.approx(losses.jensen_shannon(q, p).item(), abs=1e-6)
    assert losses.jensen_shannon(p, p).item() == pytest.approx(0, abs=1e-6)


def test_losses_of_beliefs_are_those_of_their_log_probabilities() -> None:
    log_p, log_q, labels = log_probs(3), log_probs(4), torch.tensor([0, 1, 2, 3, 0, 1])
    p, q = losses.as_log_probs(log_p), losses.as_log_probs(log_q)
    assert losses.as_log_probs(p) is p
    torch.testing.assert_close(p.probs, log_p.exp())
    torch.testing.assert_close(losses.entropy(p), losses.entropy(log_p))
    torch.testing.assert_close(losses.jensen_shannon(p, q), losses.jensen_shannon(log_p, log_q))
    torch.testing.assert_close(losses.screening_loss(p, q, labels), losses.screening_loss(log_p, log_q, labels))


def test_prior_penalty_is_the_divergence_from_uniform_to_the_mean_prediction() -> None:
    log_p = log_probs(5)
    theirs = scipy_entropy(np.full(4, 0.25), log_p.exp().mean(0).numpy())
    assert losses.prior_penalty(log_p).item() == pytest.approx(theirs)
    assert losses.prior_penalty(one_hot(0, 1, 2, 3).log()).item() == pytest.approx(0, abs=1e-12)


def test_screening_loss_is_the_sum_of_its_published_parts() -> None:
    macro, micro, labels = log_probs(6), log_probs(7), torch.tensor([0, 1, 2, 3, 0, 1])
    p, q = macro.exp().numpy(), micro.exp().numpy()
    rows = np.arange(6)
    expected = -np.log(p[rows, labels]) - np.log(q[rows, labels])
    expected += 0.5 * (p * np.log(p / q) + q * np.log(q / p)).sum(1)
    expected += 0.001 * (scipy_entropy(p, axis=1) + scipy_entropy(q, axis=1))
    np.testing.assert_allclose(losses.screening_loss(macro, micro, labels), expected)


def test_screening_loss_with_jensen_shannon_differs_by_the_divergence_alone() -> None:
    macro, micro, labels = log_probs(6), log_probs(7), torch.tensor([0, 1, 2, 3, 0, 1])
    difference = losses.screening_loss(macro, micro, labels, consistency="jeffreys", weight=1)
    difference = difference - losses.screening_loss(macro, micro, labels, consistency="js", weight=1)
    torch.testing.assert_close(difference, losses.jeffreys(macro, micro) - losses.jensen_shannon(macro, micro))


def test_screening_loss_names_the_consistencies_it_knows() -> None:
    with pytest.raises(ValueError, match="'jeffreys' or 'js', but got 'kl'"):
        losses.screening_loss(log_probs(0), log_probs(1), torch.zeros(6, dtype=torch.long), consistency="kl")  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", sorted(PAIR))
def test_zero_probabilities_give_finite_losses_and_gradients(dtype: torch.dtype, name: str) -> None:
    certain = one_hot(0, 1, 2).to(dtype)
    log_p = certain.log().requires_grad_()
    other = certain.roll(1, 0)
    loss = PAIR[name](log_p, other.log() if name in ("jeffreys", "js") else other).sum()
    loss = loss + losses.entropy(log_p).sum() + losses.prior_penalty(log_p)
    loss = loss + losses.screening_loss(log_p, other.log(), torch.tensor([1, 1, 1])).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert log_p.grad is not None
    assert torch.isfinite(log_p.grad).all()


@pytest.mark.parametrize("name", sorted(PAIR))
def test_gradients_agree_with_finite_differences(name: str) -> None:
    logits = log_probs(8, rows=3).requires_grad_()
    other = log_probs(9, rows=3)
    second = other if name in ("jeffreys", "js") else other.exp()
    assert torch.autograd.gradcheck(lambda x: PAIR[name](x.log_softmax(-1), second), logits)


def test_a_far_too_confident_mistake_still_pulls() -> None:
    logits = torch.tensor([[0.0, 500.0]], requires_grad=True)
    losses.soft_cross_entropy(logits.log_softmax(-1), torch.tensor([[1.0, 0.0]])).sum().backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[-1.0, 1.0]]))


def test_double_softmax_is_cross_entropy_of_the_softmax_of_the_probabilities() -> None:
    p = np.array([0.7, 0.2, 0.1])
    expected = np.log(np.exp(p).sum()) - 0.2
    found = losses.double_softmax_cross_entropy(torch.tensor(p)[None].log(), one_hot(1, classes=3))
    assert found.item() == pytest.approx(expected)
    worst = losses.double_softmax_cross_entropy(torch.tensor([[0.0, -100.0, -100.0]]), one_hot(1, classes=3).float())
    assert worst.item() == pytest.approx(np.log(np.e + 2))


def test_the_prior_penalty_weighs_rows() -> None:
    log_p = log_probs(3)
    weight = torch.tensor([1.0, 0, 2, 0, 0, 1])
    repeated = log_p[[0, 2, 2, 5]]
    torch.testing.assert_close(losses.prior_penalty(log_p, weight), losses.prior_penalty(repeated))
    torch.testing.assert_close(losses.prior_penalty(log_p, torch.ones(6)), losses.prior_penalty(log_p))
