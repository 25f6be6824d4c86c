"""JoCoR's joint loss against scipy, and which samples it leaves out."""

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from torch.testing import assert_close

from srrs.core.losses import soft_cross_entropy
from srrs.errors import SettingsError
from srrs.methods.joint import small_joint_loss
from srrs.methods.screen import small_joint
from srrs.methods.spec import method, needs
from srrs.methods.stages import LabeledBatch
from srrs.records import Batch, Group
from srrs.screening.joint import joint_loss


def logits(n: int = 10, learners: int = 2) -> torch.Tensor:
    return torch.randn(learners, n, 3, generator=torch.Generator().manual_seed(0))


def batch(n: int = 10) -> LabeledBatch:
    soft = torch.eye(3)[torch.arange(n) % 3]
    return LabeledBatch(
        Batch(torch.zeros(n, 2)), soft, torch.ones(n), torch.zeros(n, dtype=torch.int8), torch.ones(n, dtype=torch.bool)
    )


@pytest.mark.parametrize("agreement", [0.0, 0.5, 0.9])
def test_the_joint_loss_is_the_published_one_but_for_its_scale(agreement: float) -> None:
    log_probs = logits().log_softmax(2)
    p, q = log_probs.exp().numpy()
    labels = np.arange(10) % 3
    fit = -np.log(p[np.arange(10), labels]) - np.log(q[np.arange(10), labels])
    published = (1 - agreement) * fit + agreement * (entropy(p, q, axis=1) + entropy(q, p, axis=1))
    found = (1 - agreement) * joint_loss(log_probs, batch().soft, agreement)
    np.testing.assert_allclose(found.numpy(), published, rtol=1e-5)


@pytest.mark.parametrize(("noise_rate", "kept"), [(0.0, 10), (0.3, 7), (0.95, 1), (1.0, 1)])
def test_a_step_learns_from_the_samples_of_smallest_joint_loss(noise_rate: float, kept: int) -> None:
    given = logits().requires_grad_()
    value = small_joint_loss(noise_rate)(given, batch())
    value.backward()
    per_sample = joint_loss(given.detach().log_softmax(2), batch().soft, 0.5)
    assert_close(value.detach(), per_sample.sort().values[:kept].mean())
    taught = given.grad.abs().sum((0, 2)) > 0
    assert taught.sum() == kept
    assert per_sample[taught].max() <= per_sample[~taught].min() if kept < 10 else taught.all()


def test_learners_that_agree_have_no_more_than_their_cross_entropies() -> None:
    one = logits(learners=1).log_softmax(2).repeat(2, 1, 1)
    assert_close(joint_loss(one, batch().soft, 0.9), 2 * soft_cross_entropy(one[0], batch().soft))


@pytest.mark.parametrize(("noise_rate", "flagged"), [(0.0, 0), (0.3, 9), (1.0, 30)])
def test_screening_flags_as_many_as_it_is_told(noise_rate: float, flagged: int, evidence, probs_of) -> None:
    given = evidence()
    probs = probs_of(given)
    found, memory = small_joint(noise_rate)(given, {"kept": np.ones(1)})
    noisy = found.group == Group.NOISY
    assert noisy.sum() == flagged
    own = probs[np.arange(30), :, given.labels]
    disagreement = entropy(probs[:, 0], probs[:, 1], axis=1) + entropy(probs[:, 1], probs[:, 0], axis=1)
    np.testing.assert_allclose(found.p_clean, np.sqrt(own.prod(1)) * np.exp(-disagreement / 2), rtol=1e-6)
    if 0 < flagged < 30:
        assert found.p_clean[noisy].max() < found.p_clean[~noisy].min()
    assert (found.noise.low, found.noise.rate, found.noise.high) == (noise_rate,) * 3
    assert list(memory) == ["kept"]


def test_samples_that_are_alike_share_a_verdict(evidence) -> None:
    probs = np.tile([[0.7, 0.3], [0.6, 0.4]], (8, 1, 1))
    found, _ = small_joint(0.5)(evidence(probs=probs, labels=[0] * 8), {})
    assert len(set(found.group.tolist())) == 1


@pytest.mark.parametrize("noise_rate", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("stage", [small_joint, small_joint_loss])
def test_a_rate_is_a_share(stage, noise_rate: float) -> None:
    with pytest.raises(ValueError, match="noise_rate from 0 to 1, but got"):
        stage(noise_rate)


def test_the_joint_loss_refuses_other_learners_and_weights() -> None:
    with pytest.raises(ValueError, match="two classifiers for the joint loss, but got 1"):
        small_joint_loss(0.5)(logits(learners=1), batch())
    with pytest.raises(ValueError, match="agreement from 0 to below 1, but got 1"):
        joint_loss(logits().log_softmax(2), batch().soft, 1.0)


def test_jocor_must_be_told_the_noise_rate() -> None:
    assert needs("jocor") == ("noise rate",)
    with pytest.raises(SettingsError, match="must be told the noise rate"):
        method("jocor")
    assert method("jocor", {"noise_rate": 0.3}).screen is not None
    with pytest.raises(SettingsError, match="noise_rate from 0 to 1, but got 2"):
        method("jocor(noise_rate=2)")
