"""Losses against plain numpy, and how the rows of a step are mixed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from srrs.methods.learn import (
    as_given,
    co_regularized,
    cross_entropy,
    double_softmax,
    generalized,
    mixup_unmatched,
    paced,
)
from srrs.methods.stages import LabeledBatch
from srrs.records import Batch


def taught(soft: torch.Tensor, weight: torch.Tensor, matched: torch.Tensor | None = None) -> LabeledBatch:
    n = len(soft)
    everything = torch.ones(n, dtype=torch.bool) if matched is None else matched
    features = torch.randn(n, 6, generator=torch.Generator().manual_seed(1))
    return LabeledBatch(Batch(features), soft, weight, torch.zeros(n, dtype=torch.int8), everything)


def batch(learners: int = 2, n: int = 12, classes: int = 4, seed: int = 0) -> tuple[torch.Tensor, ...]:
    draw = torch.Generator().manual_seed(seed)
    log_probs = torch.randn(learners, n, classes, generator=draw).log_softmax(2)
    soft = torch.rand(n, classes, generator=draw).softmax(1)
    return log_probs, soft, torch.rand(n, generator=draw)


def mean(per_sample: np.ndarray, weight: torch.Tensor) -> float:
    return float(np.average(per_sample, weights=weight.numpy()))


def entropies(log_probs: torch.Tensor, soft: torch.Tensor, weight: torch.Tensor) -> float:
    return sum(mean(-(soft.numpy() * learner.numpy()).sum(1), weight) for learner in log_probs)


def test_cross_entropy_is_the_weighted_mean_summed_over_learners() -> None:
    log_probs, soft, weight = batch()
    found = float(cross_entropy()(log_probs, taught(soft, weight)))
    assert found == pytest.approx(entropies(log_probs, soft, weight), rel=1e-5)


def test_generalized_cross_entropy_runs_from_cross_entropy_to_absolute_error() -> None:
    log_probs, soft, weight = batch(learners=1)
    error = mean(1 - (soft * log_probs[0].exp()).sum(1).numpy(), weight)
    assert float(generalized(1.0)(log_probs, taught(soft, weight))) == pytest.approx(error, rel=1e-5)
    assert float(generalized(1e-4)(log_probs, taught(soft, weight))) == pytest.approx(
        entropies(log_probs, soft, weight), rel=1e-2
    )


def test_a_sample_of_weight_zero_teaches_nothing() -> None:
    log_probs, soft, weight = batch()
    weight[3] = 0
    log_probs = log_probs.clone().requires_grad_()
    co_regularized(prior=0)(log_probs, taught(soft, weight)).backward()
    assert_close(log_probs.grad[:, 3], torch.zeros(2, 4))
    assert float(generalized(0.5)(log_probs.detach(), taught(soft, torch.zeros(12)))) == 0


@pytest.mark.parametrize("learners", [1, 2])
def test_co_regularization_is_the_sum_of_its_parts(learners: int) -> None:
    log_probs, soft, weight = batch(learners)
    p, log_p = log_probs.exp().numpy(), log_probs.numpy()
    disagreement = mean(((p[0] - p[-1]) * (log_p[0] - log_p[-1])).sum(1), weight)
    prior = sum((0.25 * np.log(0.25 / np.average(learner, axis=0, weights=weight))).sum() for learner in p)
    doubt = sum(mean(-(a * b).sum(1), weight) for a, b in zip(p, log_p, strict=True))
    expected = entropies(log_probs, soft, weight) + 0.7 * disagreement + 0.3 * prior - 0.2 * doubt
    found = co_regularized(consistency=0.7, prior=0.3, confidence=0.2)(log_probs, taught(soft, weight))
    assert float(found) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize(
    "loss",
    [
        cross_entropy(),
        generalized(0.5),
        co_regularized(),
        co_regularized(q=0.7, confidence=0.5),
        paced(),
        double_softmax(),
    ],
)
def test_losses_and_gradients_are_finite_in_every_precision_even_where_a_probability_is_zero(loss, dtype) -> None:
    draw = torch.Generator().manual_seed(0)
    logits = (300 * torch.randn(2, 16, 5, generator=draw)).to(dtype).requires_grad_()
    soft = torch.eye(5, dtype=dtype)[torch.arange(16) % 5]
    value = loss(logits, taught(soft, torch.ones(16, dtype=dtype)))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.abs().sum() > 0


def rows(matched: torch.Tensor | None = None) -> LabeledBatch:
    return taught(torch.eye(40), torch.rand(40, generator=torch.Generator().manual_seed(1)), matched)


def test_a_batch_as_given_stays_as_it_is() -> None:
    given = rows()
    assert as_given()(given, np.random.default_rng(0)) is given


def test_mixing_leaves_the_matched_and_mixes_each_other_sample_with_a_matched_one() -> None:
    matched = torch.arange(40) % 3 != 0
    given = rows(matched)
    mixed = mixup_unmatched(alpha=0.8, matched_weight=2)(given, np.random.default_rng(0))
    assert_close(mixed.inputs.features[matched], given.inputs.features[matched])
    assert_close(mixed.soft[matched], given.soft[matched])
    assert_close(mixed.weight, torch.where(matched, 2 * given.weight, given.weight))
    for row in torch.nonzero(~matched).flatten().tolist():
        share = mixed.soft[row, row]  # one-hot targets tell who was mixed with whom
        partner = int(mixed.soft[row].index_fill(0, torch.tensor(row), -1).argmax())
        assert 0.5 <= share < 1
        assert matched[partner]
        assert_close(mixed.soft[row].sum(), torch.tensor(1.0))
        features = mixed.inputs.features[row]
        assert_close(features, share * given.inputs.features[row] + (1 - share) * given.inputs.features[partner])


def test_pixels_are_mixed_as_features_are() -> None:
    given = rows(torch.arange(40) % 2 == 0)
    features = given.inputs.features
    pixels = features[:, :, None, None].expand(-1, -1, 2, 2)
    both = replace(given, inputs=Batch(features, pixels))
    mixed = mixup_unmatched(0.75)(both, np.random.default_rng(0)).inputs
    assert_close(mixed.pixels, mixed.features[:, :, None, None].expand(-1, -1, 2, 2))


def test_the_released_alpha_mixes_nothing_and_mixmatchs_does() -> None:
    given = rows(torch.arange(40) % 2 == 0)
    inert, mixed = (mixup_unmatched(alpha)(given, np.random.default_rng(0)).soft for alpha in (0.001, 0.75))
    assert (inert - given.soft).abs().max() < 1e-3
    assert (mixed - given.soft).abs().sum(1)[1::2].mean() > 0.2


def test_the_same_generator_mixes_the_same() -> None:
    matched = torch.arange(40) % 2 == 0
    a, b, c = (mixup_unmatched(0.5)(rows(matched), np.random.default_rng(seed)).inputs.features for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_a_paced_loss_weighs_samples_as_gce_does_and_steps_as_far_as_cross_entropy() -> None:
    draw = torch.Generator().manual_seed(5)
    logits = torch.randn(1, 30, 4, generator=draw, requires_grad=True)
    soft = torch.eye(4)[torch.arange(30) % 4]

    def gradient(loss) -> torch.Tensor:
        (found,) = torch.autograd.grad(loss(logits, taught(soft, torch.ones(30))), logits)
        return found

    plain, robust, found = gradient(cross_entropy()), gradient(generalized(0.6)), gradient(paced(0.6))
    factor = (soft * logits[0].detach().softmax(1) ** 0.6).sum(1)
    assert_close(found, robust / factor.mean())
    assert_close(found[0], plain[0] * (factor / factor.mean())[:, None])
    assert_close(gradient(paced(0.0)), plain)
