"""What holds of every method, whatever its numbers."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from srrs.methods import spec
from srrs.methods.baselines import window
from srrs.methods.stages import MACRO, MICRO, LabeledBatch, Method, one_round
from srrs.methods.zoo import METHODS
from srrs.records import Batch, Round


def method(name: str) -> Method:
    return spec.method(name, {"noise_rate": 0.3})


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_the_name_it_goes_by(name: str) -> None:
    found = method(name)
    assert found.name == name
    names = [tuner.name for tuner in found.tuners]
    assert len(set(names)) == len(names) >= 1
    assert found.voters
    assert 0 <= found.warm_up < 1
    assert found.rounds >= 0


def rounds(name: str, evidence, order: np.ndarray, count: int) -> Round:
    """The last of some rounds on evidence whose rows are put in this order, with what the method reads alone."""
    chosen, memory = method(name), {}
    table = np.random.default_rng(9).random((len(order), 3))
    fixed = evidence(n=len(order))  # keys and features stay as they are
    vectors = np.linalg.qr(np.random.default_rng(8).standard_normal((8, 8)))[0][:3]
    for seed in range(count):
        drawn = evidence(n=len(order), seed=seed)
        logits = np.random.default_rng(seed).standard_normal((len(chosen.tuners), len(order), 3))
        named = {tuner.name: values[order] for tuner, values in zip(chosen.tuners, logits, strict=True)}
        optional = {
            "zero_shot": drawn.zero_shot[order],
            "features": fixed.features[order],
            "class_vectors": vectors,
            "match": lambda rows, classes: table[order][rows, classes],
        }
        shuffled = replace(
            drawn,
            keys=fixed.keys[order],
            labels=drawn.labels[order],
            logits=named if "logits" in chosen.reads else {},
            voters=chosen.voters if "logits" in chosen.reads else (),
            **{name: value if name in chosen.reads else None for name, value in optional.items()},
        )
        found, memory = one_round(chosen, shuffled, memory)
    return found


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", METHODS)
def test_every_method_gives_proper_verdicts_and_permuting_samples_permutes_them(name, evidence, count) -> None:
    order = np.random.default_rng(1).permutation(30)
    found = rounds(name, evidence, np.arange(30), count)
    shuffled = rounds(name, evidence, order, count)
    assert ((found.quality >= 0) & (found.quality <= 1)).all()
    assert 0 <= found.noise.low <= found.noise.rate <= found.noise.high <= 1
    np.testing.assert_allclose(shuffled.quality, found.quality[order], atol=1e-6)
    np.testing.assert_allclose(shuffled.targets.soft, found.targets.soft[order], atol=1e-6)
    np.testing.assert_array_equal(shuffled.partition.group, found.partition.group[order])
    np.testing.assert_array_equal(shuffled.matched.is_match, found.matched.is_match[order])


@pytest.mark.parametrize("name", METHODS)
def test_every_methods_losses_are_finite_and_teach_every_tuner(name: str) -> None:
    chosen = method(name)
    for loss in (chosen.loss, chosen.warm_up_loss):
        logits = torch.randn(len(chosen.tuners), 6, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
        group, matched = torch.tensor([0, 0, 1, 1, 2, 2], dtype=torch.int8), torch.ones(6, dtype=torch.bool)
        given = LabeledBatch(Batch(torch.randn(6, 4)), torch.eye(3).repeat(2, 1), torch.ones(6), group, matched)
        value = loss(logits, chosen.prepare(given, np.random.default_rng(0)))
        value.backward()
        assert torch.isfinite(value)
        assert (logits.grad.abs().sum((1, 2)) > 0).all()


def test_the_published_method_has_the_papers_settings() -> None:
    paper = method("srrs-paper")
    assert paper.tuners == (MACRO, MICRO)
    assert (paper.warm_up, paper.rounds) == (0.01, 25)  # 2 of 200 epochs, then 25 screenings


def test_a_memory_spans_the_published_share_of_the_run() -> None:
    assert (window(10, of=200), window(5, of=200), window(8, of=50)) == (1, 1, 4)
