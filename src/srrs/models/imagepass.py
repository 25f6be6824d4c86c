"""The image pass of CLIP's vision transformer, without the work that changes nothing.

The feature is read at one position, the class token's, and nothing learns. So in the last layer keys and values are
computed for all positions, but query, output projection and MLP for that one alone; the activation is one kernel, as in
the text pass; and on a CPU few pictures are run at a time, so that what a layer makes of them stays in the cache.

B pictures, T positions, W token width, D feature size.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, scaled_dot_product_attention

from srrs.models.textpass import finish_layer, split_heads

CPU_TOKENS = 1024
"""Positions per pass on a CPU: a layer of base size makes 12 MB of them."""


class VisionTransformer(NamedTuple):
    """The parts of a transformers CLIP image tower that the pass needs."""

    embed: Callable[[Tensor], Tensor]
    """(B, 3, H, W) -> (B, T, W), the class token first."""
    first_norm: nn.Module
    layers: Sequence[Any]
    final_norm: nn.Module
    projection: nn.Module

    @classmethod
    def of(cls, vision_model: Any, projection: nn.Module) -> "VisionTransformer":
        """From a `CLIPVisionModel` (or a wrapper that holds one as `.vision_model`) and the visual projection."""
        inner = getattr(vision_model, "vision_model", vision_model)
        layers = list(inner.encoder.layers)
        return cls(inner.embeddings, inner.pre_layrnorm, layers, inner.post_layernorm, projection)


def image_pass(tower: VisionTransformer, pixels: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) -> (B, D) unit vectors, float32: those of the tower's own forward."""
    hidden = tower.first_norm(tower.embed(pixels))
    if hidden.device.type == "cpu" and not torch.compiler.is_exporting():  # a graph takes any number of pictures
        few = max(1, CPU_TOKENS // hidden.shape[1])
        features = torch.cat([_encode(tower, part) for part in torch.split(hidden, few)])
    else:
        features = _encode(tower, hidden)
    return normalize(features.float(), dim=-1)


def _encode(tower: VisionTransformer, hidden: Tensor) -> Tensor:
    """(B, T, W) -> (B, D)."""
    for layer in tower.layers:
        normed = layer.layer_norm1(hidden)
        attention = layer.self_attn
        keys, values = attention.k_proj(normed), attention.v_proj(normed)
        if layer is tower.layers[-1]:  # from here on the class token alone, which sees all
            normed, hidden = normed[:, :1], hidden[:, :1]
        hidden = finish_layer(layer, hidden, _attend(layer, attention.q_proj(normed), keys, values))
    return cast(Tensor, tower.projection(tower.final_norm(hidden[:, 0])))


def _attend(layer: Any, *projected: Tensor) -> Tensor:
    """Queries, keys and values (B, T, W) -> (B, T, W); on a CPU in float32, as in the text pass."""
    given = projected[0]
    precision = torch.float32 if given.device.type == "cpu" else given.dtype
    queries, keys, values = (split_heads(layer, x.to(precision)) for x in projected)
    attended = scaled_dot_product_attention(queries, keys, values, scale=layer.self_attn.scale)
    return attended.transpose(1, 2).flatten(2).to(given.dtype)
