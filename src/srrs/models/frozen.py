"""Linear layers of frozen towers, computed by oneDNN on weights that are packed once.

torch's own `linear` multiplies float32 matrices with MKL. On processors with AVX-512 that are not made by Intel, oneDNN
is faster: by a tenth on AMD Zen 4, and by a factor of two on processors with registers of the full width. oneDNN can
also reorder ("pack") a weight matrix into the layout that its kernel reads. The weights of a frozen tower never change,
so they are packed only once. The forward pass needs the packed weight, and the backward pass needs its packed
transpose.

The two operators are private functions of torch. Therefore `kernel_for` chooses them only if their results agree with
those of `linear`. The choice depends on the processor, the precision and the version of torch, never on a measured
time. The chosen kernel is part of the model's fingerprint.

R rows, I input features, O output features.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import gelu, linear, silu

Kernel = Literal["torch", "onednn-packed"]
Activation = Literal["none", "silu", "gelu"]
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}
"""Largest allowed difference from the result of `linear`, relative to the largest value, for each precision."""

SHORT = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
"""Short names of the precisions."""
NAMES: tuple[Activation, ...] = ("none", "silu", "gelu")
"""Names of the activations."""
_ATTRIBUTES: dict[Activation, tuple[str, str]] = {"none": ("none", ""), "silu": ("swish", ""), "gelu": ("gelu", "none")}
"""oneDNN's names of the activations: attribute and algorithm."""
_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {"none": lambda x: x, "silu": silu, "gelu": gelu}


def kernel_for(device: torch.device, dtype: torch.dtype) -> Kernel:
    """Return the kernel that multiplies by frozen weights: `onednn-packed` or `torch`."""
    if device.type == "cpu" and dtype in TOLERANCE and has_instructions(dtype) and _passes_check(dtype):
        return "onednn-packed"
    return "torch"


def has_instructions(dtype: torch.dtype) -> bool:
    """Return whether this CPU has AVX-512 for float32, or instructions for bfloat16 (AVX-512 BF16, AMX)."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512":  # also obeys ATEN_CPU_CAPABILITY
        return False
    return dtype == torch.float32 or computes_bf16()


@cache
def computes_bf16() -> bool:
    """Return whether this CPU has instructions for bfloat16.

    Without these instructions, bfloat16 is many times slower than float32.
    """
    ask = getattr(torch.cpu, "get_capabilities", None)
    if ask is not None:
        found = ask()
        return any(found.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    older = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(bool(ask()) for ask in older if ask is not None)


@cache
def _passes_check(dtype: torch.dtype) -> bool:
    """Return whether torch has both operators here, with the results of `linear` in the forward and backward pass."""
    draw = torch.Generator().manual_seed(0)
    weight, bias, x = (torch.randn(*size, generator=draw).to(dtype) for size in ((48, 40), (48,), (33, 40)))
    layer = nn.Linear(40, 48, device="meta")
    layer.weight, layer.bias = (nn.Parameter(value, requires_grad=False) for value in (weight, bias))
    try:
        with torch.inference_mode(False), torch.enable_grad():
            packed, given = FrozenLinear(layer), x.clone().requires_grad_()
            pairs = [(packed.product(x, activation=name), product(layer, x, activation=name)) for name in NAMES]
            packed.product(given).sum().backward()  # type: ignore[no-untyped-call]
            expected = weight.float().sum(0).expand(33, 40)
            pairs += [(cast(Tensor, given.grad), expected), (packed.weight, weight)]
    except (AttributeError, RuntimeError, TypeError):  # missing, with another signature, or not for this CPU
        return False
    return all(float((a - b).abs().max() / b.abs().max()) <= TOLERANCE[dtype] for a, b in pairs)


class FrozenLinear(nn.Module):
    """A linear layer whose weight is packed and gets no gradient. It replaces an `nn.Linear`.

    The original weight is not kept. `weight` returns an unpacked copy.
    """

    bias: Tensor | None

    def __init__(self, layer: nn.Linear):
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self._packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach())
        self._transposed: Tensor | None = None
        self.dense: Tensor | None = None
        """The weight in the layout of torch while `unpacked` is active; else None."""
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach(), persistent=False)

    @property
    def weight(self) -> Tensor:
        """Return a copy of the weight (O, I) in the layout of torch."""
        return self._packed.to_dense()

    @property
    def transposed(self) -> Tensor:
        """Return the packed transpose (I, O) of the weight. It is computed at the first call, in a backward pass."""
        if self._transposed is None:
            self._transposed = torch.ops.mkldnn._reorder_linear_weight(self.weight.t().contiguous())
        return self._transposed

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for copying and pickling, with the weight in torch's layout.

        A packed weight can be neither copied nor pickled.
        """
        return {**self.__dict__, "_packed": self.weight, "_transposed": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._packed = torch.ops.mkldnn._reorder_linear_weight(self._packed)

    def forward(self, x: Tensor) -> Tensor:
        """Return the product (..., O) of x (..., I) with the transposed weight, plus the bias."""
        return self.product(x)

    def product(self, x: Tensor, bias: Tensor | None = None, activation: Activation = "none") -> Tensor:
        """Return `activation(x weight^T + bias)`: (..., I) -> (..., O). By default, `bias` is the bias of the layer.

        If no gradient is needed, oneDNN's kernel also computes the activation.
        """
        bias = self.bias if bias is None else bias
        if self.dense is not None:
            return _ACTIVATIONS[activation](linear(x, self.dense, bias))
        if torch.is_grad_enabled() and x.requires_grad:
            return _ACTIVATIONS[activation](cast(Tensor, _Product.apply(x, self, bias)))  # type: ignore[no-untyped-call]
        return _multiply(x, self._packed, bias, activation)


class _Product(torch.autograd.Function):
    """The product with a packed weight. Only the input gets a gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: FrozenLinear, bias: Tensor | None) -> Tensor:
        ctx.layer = layer
        return _multiply(x, layer._packed, bias)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _multiply(gradient, ctx.layer.transposed, None), None, None


def _multiply(x: Tensor, weight: Tensor, bias: Tensor | None, activation: Activation = "none") -> Tensor:
    """Return `activation(x weight^T + bias)` with the packed weight, computed by oneDNN."""
    attribute, algorithm = _ATTRIBUTES[activation]
    return cast(Tensor, torch.ops.mkldnn._linear_pointwise(x.contiguous(), weight, bias, attribute, [], algorithm))


def product(layer: Any, x: Tensor, bias: Tensor | None = None, activation: Activation = "none") -> Tensor:
    """Return `activation(x weight^T + bias)` of an `nn.Linear` or a `FrozenLinear`: (..., I) -> (..., O)."""
    if isinstance(layer, FrozenLinear):
        return layer.product(x, bias, activation)
    return _ACTIVATIONS[activation](linear(x, layer.weight, layer.bias if bias is None else bias))


def pack(model: nn.Module) -> nn.Module:
    """Replace every `nn.Linear` of a frozen model by a `FrozenLinear`, and return the model.

    Subclasses of `nn.Linear` are not replaced, because other modules read their weights.
    """
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear:
                setattr(parent, name, FrozenLinear(child))
    return model


def kernels_of(model: nn.Module) -> str:
    """Return the kernel and precision of a model's linear layers, such as `onednn-packed fp32`."""
    kernel: Kernel = "onednn-packed" if any(isinstance(part, FrozenLinear) for part in model.modules()) else "torch"
    dtype = next(model.parameters()).dtype
    return f"{kernel} {SHORT.get(dtype, str(dtype).removeprefix('torch.'))}"


@contextmanager
def unpacked(model: Any) -> Iterator[None]:
    """Within this block, use torch's `linear` for the layers of a model (or of its `.model`), to export a graph."""
    root = getattr(model, "model", model)
    layers = [m for m in root.modules() if isinstance(m, FrozenLinear)] if isinstance(root, nn.Module) else []
    for layer in layers:
        layer.dense = layer.weight
    try:
        yield
    finally:
        for layer in layers:
            layer.dense = None
