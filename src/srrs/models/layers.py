"""Functions that the text pass and the image pass share: the layers of a pre-norm transformer with frozen weights.

B rows, T positions per row, W width, H heads, d head width.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import layer_norm
from transformers.activations import GELUActivation, QuickGELUActivation

from srrs.models.frozen import product

STEEPNESS = 1.702
"""The factor in CLIP's approximation of GELU, x sigmoid(1.702 x)."""


def split_heads(layer: Any, x: Tensor) -> Tensor:
    """Return x (B, T, W), divided into heads (B, H, T, d)."""
    return x.view(*x.shape[:2], layer.self_attn.num_heads, layer.self_attn.head_dim).transpose(1, 2)


def attention_precision(x: Tensor) -> torch.dtype:
    """Return the precision of attention: float32 on a CPU, because attention in bfloat16 is slow there."""
    return torch.float32 if x.device.type == "cpu" else x.dtype


def finish_layer(layer: Any, hidden: Tensor, attended: Tensor) -> Tensor:
    """Return the output (..., W) of a layer: output projection, residual, MLP, residual.

    `hidden` (..., W) is the input of the layer, and `attended` (..., W) the result of its attention. CLIP's activation
    x sigmoid(1.702 x) equals silu(1.702 x) / 1.702, and silu is a single kernel. The factor 1.702 is applied in the
    layer norm before the MLP and the factor 1 / 1.702 in the sum after it, where they take no additional time.
    """
    hidden = hidden + layer.self_attn.out_proj(attended)
    norm, mlp = layer.layer_norm2, layer.mlp
    activation = getattr(mlp, "activation_fn", None)
    if isinstance(activation, QuickGELUActivation):
        scaled = layer_norm(hidden, norm.normalized_shape, STEEPNESS * norm.weight, STEEPNESS * norm.bias, norm.eps)
        inner = product(mlp.fc1, scaled, STEEPNESS * mlp.fc1.bias, "silu")
        return torch.add(hidden, product(mlp.fc2, inner, STEEPNESS * mlp.fc2.bias), alpha=1 / STEEPNESS)
    if isinstance(activation, GELUActivation):
        return hidden + product(mlp.fc2, product(mlp.fc1, norm(hidden), activation="gelu"))
    return cast(Tensor, hidden + mlp(norm(hidden)))
