"""The image pass of CLIP's vision transformer. It computes the same features as the tower, with less work.

1. **Last layer at one position.** The feature is the output at the class token. In the last layer, keys and values are
   computed for all positions, but the query, the output projection and the MLP only for the class token.
2. **Fused activation.** The activation of the MLP is computed in the kernel of its first product
   (`srrs.models.frozen`).
3. **Patches as a product.** Patches do not overlap, so the patch embedding is a linear layer on flattened patches. Like
   the other layers, it uses a packed weight.
4. **Small parts.** On a CPU, a few images are computed at a time, so that the activations of a layer stay in the
   processor's cache. The parts run in parallel threads (`srrs.models.lanes`).

B images, T positions, W token width, D feature size.
"""

from collections.abc import Callable, Sequence
from math import ceil
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, scaled_dot_product_attention

from srrs.models.frozen import FrozenLinear
from srrs.models.lanes import even_parts, in_lanes
from srrs.models.layers import attention_precision, finish_layer, split_heads

CPU_TOKENS = 1024
"""Largest number of positions per part on a CPU. The activations of a layer of base size then take 12 MB."""
LEAST_PARTS = 2
"""Least number of parts into which a batch is divided, so that several threads have work. Every part reads all weights
of the tower from memory, so smaller parts would be slower."""


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
        """Return the record of a `CLIPVisionModel` (or a wrapper with a `.vision_model`) and the visual projection."""
        inner = getattr(vision_model, "vision_model", vision_model)
        layers = list(inner.encoder.layers)
        embed = _packed_embedding(inner.embeddings) if isinstance(layers[0].mlp.fc1, FrozenLinear) else inner.embeddings
        return cls(embed, inner.pre_layrnorm, layers, inner.post_layernorm, projection)


def image_pass(tower: VisionTransformer, pixels: Tensor) -> Tensor:
    """Return the features (B, D) of images (B, 3, H, W) as unit vectors, float32. The weights get no gradient."""
    exporting = torch.compiler.is_exporting()  # an exported graph takes any number of images
    if not exporting and pixels.device.type == "cpu" and len(pixels) > 1:
        tokens = tower.embed(pixels[:1]).shape[1]
        parts = max(ceil(len(pixels) * tokens / CPU_TOKENS), LEAST_PARTS)
        pieces = torch.split(pixels, even_parts(len(pixels), parts))
        features = torch.cat(in_lanes(lambda piece: _encode(tower, piece), pieces))
    else:
        features = _encode(tower, pixels)
    return normalize(features.float(), dim=-1)


def _encode(tower: VisionTransformer, pixels: Tensor) -> Tensor:
    """Return the features (B, D) of images (B, 3, H, W), not scaled to unit length."""
    hidden = tower.first_norm(tower.embed(pixels))
    for layer in tower.layers:
        normed = layer.layer_norm1(hidden)
        attention = layer.self_attn
        keys, values = attention.k_proj(normed), attention.v_proj(normed)
        if layer is tower.layers[-1]:  # from here on only the class token, which attends to all positions
            normed, hidden = normed[:, :1], hidden[:, :1]
        hidden = finish_layer(layer, hidden, _attend(layer, attention.q_proj(normed), keys, values))
    return cast(Tensor, tower.projection(tower.final_norm(hidden[:, 0])))


def _attend(layer: Any, *projected: Tensor) -> Tensor:
    """Return the attention (B, T, W) of queries, keys and values (B, T, W)."""
    given = projected[0]
    queries, keys, values = (split_heads(layer, x.to(attention_precision(given))) for x in projected)
    attended = scaled_dot_product_attention(queries, keys, values, scale=layer.self_attn.scale)
    return attended.transpose(1, 2).flatten(2).to(given.dtype)


def _packed_embedding(module: Any) -> Callable[[Tensor], Tensor]:
    """Return the function from pixels to the embedding of patches, class token and positions, with a packed weight."""
    weight = module.patch_embedding.weight
    flat = nn.Linear(weight[0].numel(), len(weight), bias=False, device="meta")
    flat.weight = nn.Parameter(weight.detach().flatten(1), requires_grad=False)
    packed, side = FrozenLinear(flat), module.patch_size
    positions: Tensor = module.position_embedding.weight

    def embed(pixels: Tensor) -> Tensor:
        if torch.compiler.is_exporting() or pixels.shape[-2:] != (module.image_size, module.image_size):
            return cast(Tensor, module(pixels))  # the module raises an error for other sizes
        grid = module.image_size // side
        patches = pixels.to(weight.dtype).view(len(pixels), -1, grid, side, grid, side).permute(0, 2, 4, 1, 3, 5)
        patches = packed(patches.reshape(len(pixels), grid * grid, -1))
        tokens = torch.cat([module.class_embedding.expand(len(pixels), 1, -1), patches], dim=1)
        return tokens + positions

    return embed
