"""The text pass of a causal tower such as CLIP's. It computes the same class vectors and gradients, with less work.

When prompts are tuned on cached image features, the cost of a step is one forward and backward pass of all class
prompts through the text tower. CLIP's own pass computes 77 positions of every prompt. This pass gives the same numbers
with less work:

1. **Real length.** In a causal tower, position i attends to positions 0..i only, and the feature is the output at the
   end token. Positions after the end token do not influence the feature, so they are cut off. A prompt has 6 to 20
   tokens instead of 77.

2. **Shared prefix.** All prompts begin with the same S vectors: the start token and, if all classes share one context,
   the learned context. In a causal tower, the hidden states at these S positions do not depend on later positions, so
   they are equal in all C rows, in every layer. They are computed once, as a batch of one, and the keys and values of
   each layer are kept. The row of a class then contains only its own T = length - S tokens (its name, punctuation, end
   token), and in each layer

       attention(row) = softmax(q_own [K_prefix ; K_own]^T / sqrt(d) + mask) [V_prefix ; V_own],   q_own: T queries,

   where the mask lets query t attend to the whole prefix and to own positions 0..t. These are the same rows of the same
   softmax as in the full pass, so the result is exact. The gradient of the context is exact, too. In the full pass,
   every row has a copy of the context, and the gradient is the sum over the copies. Here the context is one tensor, and
   the gradients of the classes are added. The position embeddings of the own tokens continue after the prefix.

3. **Last layer at one position.** Only the output at the end token is used of the last layer. There, keys and values
   are computed for all positions, but query, output projection and MLP only for the end token.

4. **No padding.** Rows differ in length. All operations except attention treat each position separately, so they work
   on one matrix that contains the tokens of all rows, one row after the other. Rows are sorted by length, and attention
   processes all rows of the same length (a span) at a time. Names and descriptions have few different lengths, also
   with many classes.

5. **Constants.** Known tokens need no gradient. If all classes share one context, all own tokens are known, and the
   part of the first layer before attention needs no backward pass. If every class has its own context, the prefix is
   only the start token, and needs no gradient.

6. **Parts.** On a CPU the rows are divided into parts of up to about a thousand tokens, which run in parallel threads,
   forward and backward (`srrs.models.lanes`). Up to `KEPT_TOKENS` own tokens, the activations are kept for the backward
   pass. Above this number, each part is computed again in the backward pass. Then only two tensors grow with C: the
   token vectors (P, W) and the result (C, D). Computing the parts again takes 50 % more time, because the backward pass
   of frozen weights takes no more time than the forward pass.

7. **Packed weights.** Frozen weights are packed once for each direction (`srrs.models.frozen`).

The cost of C prompts of length S + T is, per layer, that of S + C T token positions instead of 77 C.

C rows (one per prompt), B rows of a part, L prompt length, S shared positions, T own positions, P own tokens (the sum
of T over the rows), W token width, H heads, d head width, D feature size.
"""

from collections.abc import Sequence
from math import ceil
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, normalize, scaled_dot_product_attention

from srrs.errors import ModelError
from srrs.models.base import Prompts
from srrs.models.lanes import differentiable_lanes
from srrs.models.layers import attention_precision, finish_layer, split_heads

KEPT_TOKENS = 4096
"""Up to this number of own tokens, the backward pass computes nothing again. A tower of base size then keeps about
1.2 GB for the backward pass."""

PARTS, PART_TOKENS = 2, 1024
"""On a CPU, rows are divided into PARTS parts, or into more parts of about PART_TOKENS tokens if PARTS parts would have
more tokens. Every part reads all weights of the tower from memory, so smaller parts would be slower."""

LEAST_PART_TOKENS, LEAST_PART_WORK = 64, 10**9
"""Least number of tokens in a part, and least number of multiply-adds in the forward pass of a part."""

GPU_PART_TOKENS = 2048
"""Number of own tokens per part on other devices, if parts are computed again. A tower of base size then keeps about
0.6 GB."""


class CausalTower(NamedTuple):
    """The parts of a transformers CLIP text tower that the pass needs."""

    positions: nn.Embedding
    """Position embeddings."""
    layers: Sequence[Any]
    final_norm: nn.Module
    projection: nn.Module
    """Projection from W to D."""

    @classmethod
    def of(cls, text_model: Any, projection: nn.Module) -> "CausalTower":
        """Return the record of a `CLIPTextModel` (or a wrapper with a `.text_model`) and the text projection."""
        inner = getattr(text_model, "text_model", text_model)
        return cls(inner.embeddings.position_embedding, list(inner.encoder.layers), inner.final_layer_norm, projection)

    @property
    def dtype(self) -> torch.dtype:
        """Return the precision of the weights."""
        return self.positions.weight.dtype


class Span(NamedTuple):
    """Consecutive rows with the same number of own tokens."""

    rows: int
    """Number of rows."""
    length: int
    """Number of own tokens of each row."""
    asked: int
    """Number of positions at the end of each row for which attention is computed."""
    mask: Tensor
    """(asked, S + length) mask that is added to the scores: 0 if a position may be attended to, otherwise -inf."""


def causal_text_pass(tower: CausalTower, prompts: Prompts, rows: int | None = None) -> Tensor:
    """Return the features (C, D) of prompts by a causal text tower, as unit vectors in float32.

    Gradients flow to `prompts.learned`. The backward pass computes the parts again under two conditions: there are
    several parts; and `rows` is given, or there are more than `KEPT_TOKENS` own tokens.

    Parameters
    ----------
    tower : the text tower.
    prompts : C prompts. The end token of a prompt must be the last of its `prompts.length` positions. Every length must
        be larger than `prompts.shared`, the number of leading positions that are equal in all prompts.
    rows : number of rows per part; by default, the rows are divided by their number of tokens (point 6 of the module's
        docstring).

    Raises
    ------
    ModelError
        A prompt is longer than the tower's context, or has no token after the shared prefix.
    """
    length, shared = prompts.length.cpu(), prompts.shared
    _check(length, shared, tower.positions.num_embeddings)
    vectors = prompts.vectors.to(tower.dtype)
    before, behind = (
        vectors if prompts.learns_at(where) else vectors.detach() for where in (slice(shared), slice(shared, None))
    )
    (prefix,) = differentiable_lanes(
        lambda number, tokens, kept: _encode_prefix(tower, tokens),
        [embedding(prompts.source[0, :shared], before)],
    )
    own, order = (length - shared).sort(stable=True)
    at = _positions(order * prompts.source.shape[1] + shared, own).to(vectors.device)
    tokens = embedding(prompts.source.flatten().index_select(0, at), behind)

    parts = _parts(own, tower, vectors.device, rows)
    spans = [_spans(part, shared, prefix) for part in parts]
    features = differentiable_lanes(
        lambda number, tokens, kept: _encode_rows(tower, tokens, parts[number], spans[number], kept[0]),
        torch.split(tokens, [int(part.sum()) for part in parts]),
        [prefix],
        recompute=rows is not None or len(tokens) > KEPT_TOKENS,
    )
    restore = torch.argsort(order).to(vectors.device)
    return normalize(torch.cat(features)[restore].float(), dim=-1)


def _check(length: Tensor, shared: int, context_length: int) -> None:
    """Raise ModelError for a prompt that is longer than the context, or has no token after the shared prefix."""
    if int(length.max()) > context_length:
        raise ModelError(
            f"Expected prompts of at most {context_length} tokens, but row {int(length.argmax())} has "
            f"{int(length.max())}: shorten its class name, description or context."
        )
    if int(length.min()) <= shared:
        raise ModelError(
            f"Expected an end token behind the {shared} shared tokens, but row {int(length.argmin())} ends."
        )


def _parts(own: Tensor, tower: CausalTower, device: torch.device, rows: int | None) -> list[Tensor]:
    """Return own lengths (B,) in ascending order, divided into parts with about equal numbers of tokens.

    The parts do not depend on the number of threads, so that the result does not depend on it.
    """
    if rows is not None:
        return list(torch.split(own, rows))
    tokens = int(own.sum())
    if device.type == "cpu":
        multiply_adds = 12 * len(tower.layers) * tower.positions.embedding_dim**2  # per token in the forward pass
        least = max(LEAST_PART_TOKENS, LEAST_PART_WORK // multiply_adds)
        parts = min(tokens // least, max(PARTS, tokens // PART_TOKENS))
    else:
        parts = ceil(tokens / GPU_PART_TOKENS) if tokens > KEPT_TOKENS else 1
    part_of = (own.cumsum(0) - own) * max(parts, 1) // tokens
    return list(torch.split(own, torch.unique(part_of, return_counts=True)[1].tolist()))


def _spans(own: Tensor, shared: int, like: Tensor) -> list[Span]:
    """Return the spans of rows with own lengths (B,) in ascending order.

    The mask of a span lets query t attend to the prefix and to own positions 0..t.
    """
    lengths, rows = torch.unique(own, return_counts=True)
    return [
        Span(n, t, t, like.new_full((t, shared + t), -torch.inf, dtype=attention_precision(like)).triu(shared + 1))
        for n, t in zip(rows.tolist(), lengths.tolist(), strict=True)
    ]


def _positions(first: Tensor, count: Tensor) -> Tensor:
    """Return (P,) the numbers `first[b], first[b] + 1, ..., first[b] + count[b] - 1` of each row b, row after row."""
    before = count.cumsum(0) - count
    return torch.arange(int(count.sum())) + (first - before).repeat_interleave(count)


def _encode_prefix(tower: CausalTower, tokens: Tensor) -> Tensor:
    """Return the keys and values (layers, 2, H, S, d) of the shared tokens (S, W).

    The queries of the last layer are not needed.
    """
    hidden = tokens + tower.positions.weight[: len(tokens)]
    kept = []
    for i, layer in enumerate(tower.layers):
        normed = layer.layer_norm1(hidden)
        keys, values = (
            split_heads(layer, project(normed)[None]) for project in (layer.self_attn.k_proj, layer.self_attn.v_proj)
        )
        kept.append(torch.cat([keys, values]))
        if i + 1 < len(tower.layers) and len(tokens):
            queries = split_heads(layer, layer.self_attn.q_proj(normed)[None])
            attended = scaled_dot_product_attention(queries, keys, values, is_causal=True, scale=layer.self_attn.scale)
            hidden = finish_layer(layer, hidden, attended.transpose(1, 2).flatten(2)[0])
    return torch.stack(kept)


def _encode_rows(tower: CausalTower, tokens: Tensor, own: Tensor, spans: Sequence[Span], prefix: Tensor) -> Tensor:
    """Return the features (B, D) of rows from their own tokens (P, W), row after row.

    `own` (B,) are the own lengths in ascending order, and `prefix` (layers, 2, H, S, d) the result of `_encode_prefix`.
    """
    place = _positions(torch.full_like(own, prefix.shape[3]), own).to(tokens.device)
    hidden = tokens + tower.positions.weight.index_select(0, place)

    for i, (layer, before) in enumerate(zip(tower.layers, prefix, strict=True)):
        normed = layer.layer_norm1(hidden)
        keys, values = layer.self_attn.k_proj(normed), layer.self_attn.v_proj(normed)
        if i + 1 == len(tower.layers):  # from here on only the end token, which attends to its whole row
            ends = own.cumsum(0).to(hidden.device) - 1
            normed, hidden = normed.index_select(0, ends), hidden.index_select(0, ends)
            spans = [span._replace(asked=1, mask=span.mask[-1:]) for span in spans]
        attended = _attend(layer, layer.self_attn.q_proj(normed), keys, values, before, spans)
        hidden = finish_layer(layer, hidden, attended)
    return cast(Tensor, tower.projection(tower.final_norm(hidden)))


def _attend(layer: Any, queries: Tensor, keys: Tensor, values: Tensor, prefix: Tensor, spans: Sequence[Span]) -> Tensor:
    """Return the attention of each row to the prefix (2, H, S, d) and to itself, span by span."""
    given = queries.dtype
    queries, keys, values, prefix = (x.to(attention_precision(x)) for x in (queries, keys, values, prefix))
    asked = torch.split(queries, [span.rows * span.asked for span in spans])
    sizes = [span.rows * span.length for span in spans]
    found = []
    for span, *own in zip(spans, asked, torch.split(keys, sizes), torch.split(values, sizes), strict=True):
        q, k, v = (split_heads(layer, x.view(span.rows, -1, x.shape[1])) for x in own)
        k, v = (torch.cat([p.expand(span.rows, -1, -1, -1), x], 2) for p, x in zip(prefix, (k, v), strict=True))
        found.append(_attention(q, k, v, span.mask, layer.self_attn.scale).transpose(1, 2).flatten(2).flatten(0, 1))
    return torch.cat(found).to(given)


def _attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float) -> Tensor:
    """Return the attention of queries (B, H, asked, d) to keys and values (B, H, S + length, d).

    On a CPU, products of all heads at once are faster than torch's fused attention if there are few positions.
    """
    if q.device.type != "cpu":
        return scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    queries, keys, values = (x.flatten(0, 1) for x in (q, k, v))
    scores = torch.baddbmm(mask, queries, keys.transpose(1, 2), alpha=scale)
    return torch.bmm(scores.softmax(-1), values).view(q.shape)
