"""DeFT's detector and the discriminator of the double prompts, sample by sample in numpy."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from srrs.methods.detector import detecting, discriminating
from srrs.methods.screen import detected
from srrs.methods.stages import LabeledBatch
from srrs.records import Batch, Group

GIVEN = [0, 1, 2, 0, 1, 2]


def batch(groups: list[int] | None = None, weight: torch.Tensor | None = None) -> LabeledBatch:
    soft = torch.eye(3)[GIVEN]
    group = torch.tensor([0, 0, 0, 2, 2, 1] if groups is None else groups, dtype=torch.int8)
    return LabeledBatch(
        Batch(torch.zeros(6, 4)),
        soft,
        torch.ones(6) if weight is None else weight,
        group,
        torch.ones(6, dtype=torch.bool),
    )


def drawn(learners: int, scale: float = 3.0, seed: int = 0) -> torch.Tensor:
    logits = scale * torch.randn(learners, 6, 3, generator=torch.Generator().manual_seed(seed))
    return logits.requires_grad_()


def log_softmax(values: np.ndarray) -> np.ndarray:
    return values - np.log(np.exp(values).sum())


def test_a_label_is_clean_if_the_right_prompt_of_its_class_beats_the_wrong_one(evidence) -> None:
    drawn_logits = np.random.default_rng(0).standard_normal((2, 20, 3)) * 4
    given = replace(
        evidence(n=20),
        logits={"vote": np.zeros((20, 3)), "yes": drawn_logits[0], "no": drawn_logits[1]},
        voters=("vote",),
    )
    found, _ = detected(right="yes", wrong="no")(given, {})
    right, wrong = (np.exp(given.logits[name][np.arange(20), given.labels]) for name in ("yes", "no"))
    np.testing.assert_allclose(found.p_clean, right / (right + wrong))
    np.testing.assert_array_equal(found.group, np.where(right > wrong, Group.CLEAN, Group.NOISY))


def test_detectors_that_are_no_tuners_are_named(evidence) -> None:
    with pytest.raises(ValueError, match=r"needs tuners called \['no', 'yes'\]"):
        detected(right="yes", wrong="no")(evidence(), {})


def test_the_detector_learns_as_published_with_the_mean_over_complementary_labels() -> None:
    logits, weight = drawn(2), torch.tensor([1.0, 0.5, 2.0, 1.0, 0.0, 1.0])
    positive, negative = logits.detach().numpy().astype(np.float64)
    classified, detected = [], []
    for i, label in enumerate(GIVEN):
        clean = i < 3
        p_yes = np.exp(positive[i]) / (np.exp(positive[i]) + np.exp(negative[i]))
        label_learned = label if clean else positive[i].argmax()
        others = [-np.log(1 - p_yes[k]) for k in range(3) if k != label]
        detected.append(-np.log(p_yes[label_learned]) + np.mean(others))
        if clean:
            classified.append(-log_softmax(positive[i])[label])
    expected = np.average(classified, weights=weight[:3]) + np.average(detected, weights=weight)
    assert float(detecting()(logits, batch(weight=weight)).detach()) == pytest.approx(expected, rel=1e-5)


def test_detection_does_not_move_the_positive_prompts_and_noisy_samples_do_not_classify() -> None:
    logits = drawn(2)
    detecting()(logits, batch()).backward()
    assert (logits.grad[0, :3] != 0).any(1).all()
    assert_close(logits.grad[0, 3:], torch.zeros(3, 3))
    assert (logits.grad[1] != 0).any(1).all()


def test_a_batch_without_a_clean_sample_still_teaches_the_detector() -> None:
    logits = drawn(2, scale=300.0)
    value = detecting()(logits, batch(groups=[2] * 6))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()
    assert_close(logits.grad[0], torch.zeros(6, 3))


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.4, 1.0])
def test_classifier_and_judge_teach_each_other_as_published(beta: float) -> None:
    logits = drawn(3)
    classifier, clean, noisy = logits.detach().numpy().astype(np.float64)
    expected = 0.0
    for i, label in enumerate(GIVEN):
        judge = np.concatenate([clean[i], noisy[i]])
        verdict = label if classifier[i].argmax() == label else label + 3
        mixed = (beta * noisy[i] + (1 - beta) * np.eye(3)[label]).argmax()
        corrected = judge.argmax() if judge.argmax() < 3 else mixed
        expected -= (log_softmax(classifier[i])[corrected] + log_softmax(judge)[verdict]) / 6
    assert float(discriminating(beta)(logits, batch()).detach()) == pytest.approx(expected, rel=1e-5)


def test_what_the_two_learn_is_no_path_for_gradients_between_them() -> None:
    logits = drawn(3)
    discriminating()(logits, batch()).backward()
    alone = logits.detach().clone().requires_grad_()
    discriminating()(torch.stack([alone[0], *logits.detach()[1:]]), batch()).backward()
    assert_close(alone.grad[0], logits.grad[0])
