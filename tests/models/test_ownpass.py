"""Towers that are not causal: the pass from vectors against the model's own encoding of token ids."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

import support
from srrs.models import ownpass
from srrs.models.base import Prompts
from srrs.models.hub import load_model

TEXTS = ["a photo of a cat.", "a bad photo of the sea horse", "dog", "red comb, two legs and a tail."]


@pytest.fixture(scope="module", params=["siglip", "dual bert", "dual clip"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model")
    if request.param == "siglip":
        return support.tiny_siglip(made)
    return support.tiny_dual(made, text=request.param.split()[1])


def as_prompts(model, texts: list[str], shift: Tensor) -> Prompts:
    """The texts as vectors, `shift` added to those of the second token."""
    ids = [[*model.start, *model.tokens(t), *model.end] for t in texts]
    longest = max(map(len, ids))
    vectors = torch.stack([model.embed([*i, *[0] * (longest - len(i))]) for i in ids])
    moved = vectors + torch.nn.functional.pad(shift[None], (0, 0, 1, longest - 2))
    return Prompts.of(moved, torch.tensor([len(i) for i in ids]))


@pytest.mark.parametrize("chunk", [64, 2])
def test_equals_the_models_own_encoding_at_full_length_in_outputs_and_gradients(monkeypatch, folder, chunk) -> None:
    monkeypatch.setattr(ownpass.own_text_pass, "__defaults__", (chunk,))
    model, reference = load_model(str(folder), device="cpu"), AutoModel.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(TEXTS, padding="max_length", max_length=model.context_length, return_tensors="pt")
    inputs = {"input_ids": batch["input_ids"]}
    if reference.config.model_type != "siglip":
        inputs["attention_mask"] = batch["attention_mask"]

    results = []
    for ours in (True, False):
        shift = torch.full((model.token_size,), 0.1, requires_grad=True)
        if ours:
            features = model.encode_prompts(as_prompts(model, TEXTS, shift))
        else:
            tokens = reference.text_model.get_input_embeddings()
            at_second = torch.nn.functional.one_hot(torch.tensor(1), model.context_length)[:, None] * shift
            handle = tokens.register_forward_hook(lambda module, inputs, output, at=at_second: output + at)
            features = torch.nn.functional.normalize(reference.get_text_features(**inputs).pooler_output, dim=-1)
            handle.remove()
        (features * torch.linspace(-1, 1, features.numel()).view_as(features)).sum().backward()
        results.append((features.detach(), shift.grad))
    for a, b in zip(*results, strict=True):
        assert (a - b).abs().max() / b.abs().max() <= 1e-5


def test_the_hook_is_gone_after_the_pass(folder) -> None:
    model = load_model(str(folder), device="cpu")
    model.encode_prompts(as_prompts(model, TEXTS, torch.zeros(model.token_size)))
    assert not model.model.text_model.get_input_embeddings()._forward_hooks
