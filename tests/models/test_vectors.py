"""No model at all."""

import pytest
import torch
from PIL import Image
from srrs.prompts.learner import TaskResidual

from srrs.errors import ModelError
from srrs.models.base import VisionLanguage
from srrs.models.vectors import Vectors, class_means


def test_there_is_no_tower_to_ask() -> None:
    vectors: VisionLanguage = Vectors(4)
    for ask in (
        lambda: vectors.preprocess(Image.new("RGB", (4, 4))),
        lambda: vectors.encode_images(torch.zeros(1)),
        lambda: vectors.tokens("a cat"),
    ):
        with pytest.raises(ModelError, match=r"no model to encode photographs with .*--features"):
            ask()


def test_class_means_are_the_normalised_means_and_zero_for_an_empty_class() -> None:
    features, labels = torch.eye(4)[[0, 1, 1, 2]], torch.tensor([0, 0, 2, 2])
    means = class_means(features, labels, 3)
    half = 0.5**0.5
    torch.testing.assert_close(means, torch.tensor([[half, half, 0, 0], [0, 0, 0, 0], [0, half, half, 0]]))


def test_a_residual_begins_at_its_class_vectors_and_moves_the_logits_as_a_probe_does() -> None:
    base, model = torch.eye(4), Vectors(4, logit_scale=50.0)
    learner = TaskResidual(base)
    torch.testing.assert_close(learner.class_weights(model), base)
    learner.residual.data[0, 1] = 1.0
    logits = model.logit_scale * torch.eye(4) @ learner.class_weights(model).T.detach()
    assert float(logits[1, 0]) == pytest.approx(4**0.5)
    assert [name for name, _ in learner.named_parameters()] == ["residual"]
    jittered = TaskResidual(base, torch.Generator().manual_seed(0)).class_weights(model).detach()
    assert 0 < float((jittered - base).abs().max()) < 0.01
