"""Packed linear layers against torch's own, and the choice between the two."""

import copy
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

import support
from srrs.models import frozen
from srrs.models.frozen import FrozenLinear, kernel_for, kernels_of, pack, product, unpacked
from srrs.models.hub import load_model

CPU = torch.device("cpu")
packs = pytest.mark.skipif(kernel_for(CPU, torch.float32) == "torch", reason="not on this processor")


def linear(inputs: int = 40, outputs: int = 24, bias: bool = True, dtype: torch.dtype = torch.float32) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(inputs, outputs, bias=bias).to(dtype).requires_grad_(False)


@packs
@pytest.mark.parametrize("rows", [0, 1, 7, 33, 600])
@pytest.mark.parametrize("bias", [True, False])
def test_products_and_gradients_are_those_of_torch_for_any_number_of_rows(rows: int, bias: bool) -> None:
    layer = linear(bias=bias)
    packed = FrozenLinear(layer)
    results = []
    for one in (packed, layer):
        x = torch.randn(2, rows, 40, generator=torch.Generator().manual_seed(1), requires_grad=True)
        out = one(x)
        (out.square() * torch.linspace(-1, 1, 24)).sum().backward()
        results.append((out.detach(), x.grad))
    (ours, our_gradient), (theirs, their_gradient) = results
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(our_gradient, their_gradient, rtol=1e-5, atol=1e-5)
    assert ours.shape == (2, rows, 24)


@packs
@pytest.mark.parametrize("activation", frozen.NAMES)
@pytest.mark.parametrize("learns", [False, True])
def test_activations_and_another_bias_are_those_of_torch(activation: frozen.Activation, learns: bool) -> None:
    layer, bias = linear(), torch.randn(24)
    x = torch.randn(9, 40, requires_grad=learns)
    ours = product(FrozenLinear(layer), x, bias, activation)
    torch.testing.assert_close(ours, product(layer, x, bias, activation), rtol=1e-5, atol=1e-6)
    assert ours.requires_grad == learns


@packs
def test_rows_and_threads_change_no_bit() -> None:
    packed, x, threads = FrozenLinear(linear(96, 64)), torch.randn(300, 96), torch.get_num_threads()
    whole = packed(x)
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            assert torch.equal(packed(x), whole)
            assert torch.equal(torch.cat([packed(part) for part in torch.split(x, 100)]), whole)
    finally:
        torch.set_num_threads(threads)


@packs
def test_the_weight_can_be_had_back_and_only_plain_layers_are_replaced() -> None:
    layer = linear()
    assert torch.equal(FrozenLinear(layer).weight, layer.weight)

    for twin in (copy.deepcopy(FrozenLinear(layer)), pickle.loads(pickle.dumps(FrozenLinear(layer)))):
        assert torch.equal(twin(torch.ones(2, 40)), FrozenLinear(layer)(torch.ones(2, 40)))

    class Own(nn.Linear):
        pass

    model = nn.ModuleDict({"a": linear(), "b": nn.Sequential(linear(24, 8)), "own": Own(4, 4)})
    x, before = torch.randn(3, 40), copy.deepcopy(model)
    assert kernels_of(before) == "torch fp32"
    assert pack(model) is model
    assert kernels_of(model) == "onednn-packed fp32"
    assert type(model["own"]) is Own
    found = model["b"](model["a"](x))
    torch.testing.assert_close(found, before["b"](before["a"](x)))
    with unpacked(model):
        assert torch.equal(model["b"](model["a"](x)), before["b"](before["a"](x)))
    assert torch.equal(model["b"](model["a"](x)), found)


@packs
@pytest.mark.parametrize("make", [support.tiny_clip, support.tiny_siglip, support.tiny_dual])
def test_a_model_on_packed_weights_has_the_features_of_the_plain_one_and_another_fingerprint(
    tmp_path: Path, make
) -> None:
    folder = str(make(tmp_path / "model"))
    packed, plain = load_model(folder, "cpu", "fp32"), load_model(folder, "cpu", "fp32", kernels="torch")
    assert packed.fingerprint == f"{plain.fingerprint}-onednn"
    assert (packed.kernels, plain.kernels) == ("onednn-packed fp32", "torch fp32")
    pixels = torch.randn(5, 3, 32, 32)
    torch.testing.assert_close(packed.encode_images(pixels), plain.encode_images(pixels), rtol=1e-4, atol=1e-6)


def test_other_devices_and_processors_take_torchs_own_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernel_for(torch.device("cuda"), torch.float32) == "torch"
    assert kernel_for(CPU, torch.float16) == "torch"
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert kernel_for(CPU, torch.float32) == "torch"


@pytest.mark.parametrize("fault", ["missing", "wrong"])
def test_operators_that_are_missing_or_wrong_are_not_used(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    multiply = frozen._multiply

    def broken(*arguments):
        if fault == "missing":
            raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_linear_pointwise'")
        return multiply(*arguments) * 1.01

    monkeypatch.setattr(frozen, "has_instructions", lambda dtype: True)
    monkeypatch.setattr(frozen, "_multiply", broken)
    frozen._passes_check.cache_clear()
    try:
        assert kernel_for(CPU, torch.float32) == "torch"
    finally:
        frozen._passes_check.cache_clear()
