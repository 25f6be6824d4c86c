"""The text pass of a causal tower (CLIP's), without the work that changes nothing.

Tuning prompts on cached image features costs, per step, one forward and backward pass of all class prompts through the
text tower. CLIP's own pass runs every prompt at 77 positions. This one gives the same numbers from far fewer:

1. **Real length.** In a causal tower position i sees positions 0..i only, and the feature is read at the end token.
   What comes after the end token reaches nothing that is read, so it is cut off. A prompt has 6 to 20 tokens, not 77.

2. **Shared prefix.** All prompts begin with the same S vectors: the start token and, where classes share one, the
   learned context. By the same causality the hidden states at these S positions depend on nothing behind them, so they
   are equal in all C rows, in every layer. They are run once, as a batch of one, and each layer's keys and values are
   kept. A class row then holds only its own T = length - S tokens (its name, punctuation, end token), and in each layer

       attention(row) = softmax(q_own [K_prefix ; K_own]^T / sqrt(d) + mask) [V_prefix ; V_own],   q_own: T queries,

   where the mask lets query t see the whole prefix and own positions 0..t. These are the same rows of the same softmax
   as in the full pass: exact, not an approximation. The gradient of the context is exact as well. In the full pass it
   is the sum over classes of what flows back to each row's copy of the context; here the copies are one tensor, and
   autograd sums over the classes that read it. Position embeddings go on counting after the prefix.

3. **Last layer at one position.** Only the end token is read from the last layer, so there the keys and values are
   computed for all positions, but query, output projection and MLP for that one alone.

4. **No padding.** Rows differ in length. Everything but attention treats each position by itself, so there the tokens
   of all rows stand end to end in one matrix. Rows are sorted by length, and attention takes those of one length (a
   span) at a time: names and descriptions have few different lengths, whatever the number of classes.

5. **Constants.** Known tokens want no gradient. Where the context is shared, all own tokens are known, and what the
   first layer makes of them before attention has no backward pass. Where every class has its own, the prefix is the
   start token alone, and has none at all.

6. **Chunks.** Up to `KEPT_TOKENS` own tokens are run at once, and all that the backward pass needs is kept. More are
   encoded in chunks, each recomputed in the backward pass from the table of token vectors on, so that memory does not
   grow with C: what is kept are that table, the numbers that say which position reads which vector, and the (C, D)
   result. That costs half as much again, for the backward pass of frozen weights costs no more than the forward.

7. **One kernel for the activation.** CLIP's x sigmoid(1.702 x) equals silu(1.702 x) / 1.702, and torch has silu as one
   kernel forward and one backward that keeps only its input. The factors ride on the layer norm before and on the sum
   behind, where they cost nothing.

Cost for C prompts of length S + T, per layer: S + C T token positions instead of 77 C.

C rows, L prompt length, S shared positions, T own positions, P own tokens of a chunk (the sum of T over its B rows),
W token width, H heads, d head width, D feature size.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, layer_norm, linear, normalize, scaled_dot_product_attention, silu
from torch.utils.checkpoint import checkpoint
from transformers.activations import QuickGELUActivation

from srrs.core.allocation import give_back
from srrs.errors import ModelError
from srrs.models.base import Prompts

KEPT_TOKENS = 4096
"""Own tokens up to which nothing is recomputed: a base-size tower then keeps about 1.2 GB for the backward pass."""

CHUNK_TOKENS = 2048
"""Own tokens per chunk beyond that: a base-size tower then keeps about 0.6 GB at a time."""

STEEPNESS = 1.702
"""Of CLIP's approximation of GELU, x sigmoid(1.702 x)."""


class CausalTower(NamedTuple):
    """The parts of a transformers CLIP text tower that the pass needs."""

    positions: nn.Embedding
    layers: Sequence[Any]
    final_norm: nn.Module
    projection: nn.Module

    @classmethod
    def of(cls, text_model: Any, projection: nn.Module) -> "CausalTower":
        """From a `CLIPTextModel` (or a wrapper that holds one as `.text_model`) and the text projection."""
        inner = getattr(text_model, "text_model", text_model)
        return cls(inner.embeddings.position_embedding, list(inner.encoder.layers), inner.final_layer_norm, projection)

    @property
    def dtype(self) -> torch.dtype:
        return self.positions.weight.dtype


KeysValues = tuple[Tensor, Tensor]  # each (1, H, S, d)


class Span(NamedTuple):
    """Rows of one length that stand one behind the other."""

    rows: int
    length: int
    asked: int
    """Positions per row that attend, the last ones."""
    mask: Tensor
    """(asked, S + length) added to the scores: 0 for what each may see, otherwise -inf."""


def causal_text_pass(tower: CausalTower, prompts: Prompts, chunk: int | None = None) -> Tensor:
    """Encode prompts with a causal text tower: (C, D) unit vectors, float32, gradients flowing to `prompts.learned`.

    Parameters
    ----------
    prompts : the end token must be the last of each row's `length` positions, and `length > shared`.
    chunk : rows per chunk; by default all rows up to `KEPT_TOKENS` own tokens, beyond as many as hold `CHUNK_TOKENS`.
        One chunk is not recomputed.

    Raises
    ------
    ModelError
        If a prompt is longer than the tower's context, or has nothing behind the shared prefix.
    """
    length, shared = prompts.length.cpu(), prompts.shared
    _check(length, shared, tower.positions.num_embeddings)
    vectors = prompts.vectors.to(tower.dtype)
    before, behind = (
        vectors if prompts.learns_at(where) else vectors.detach() for where in (slice(shared), slice(shared, None))
    )
    prefix = _encode_prefix(tower, embedding(prompts.source[0, :shared], before))
    own, order = (length - shared).sort(stable=True)
    sizes = _chunk_sizes(own, chunk)
    recompute = len(sizes) > 1 and torch.is_grad_enabled() and prompts.learned.requires_grad

    features = []
    for rows, used in zip(torch.split(order, sizes), torch.split(own, sizes), strict=True):
        at = _positions(rows * prompts.source.shape[1] + shared, used).to(vectors.device)
        spans = _spans(used, shared, prefix[0][0])
        arguments = (tower, behind, prompts.source.flatten().index_select(0, at), spans, prefix)
        features.append(
            checkpoint(_encode_chunk, *arguments, use_reentrant=False, preserve_rng_state=False)
            if recompute
            else _encode_rows(*arguments)
        )
    restore = torch.argsort(order).to(vectors.device)
    return normalize(torch.cat(features)[restore].float(), dim=-1)


def _check(length: Tensor, shared: int, context_length: int) -> None:
    if int(length.max()) > context_length:
        raise ModelError(
            f"Expected prompts of at most {context_length} tokens, but row {int(length.argmax())} has "
            f"{int(length.max())}: shorten its class name, description or context."
        )
    if int(length.min()) <= shared:
        raise ModelError(
            f"Expected an end token behind the {shared} shared tokens, but row {int(length.argmin())} ends."
        )


def _chunk_sizes(own: Tensor, chunk: int | None) -> list[int]:
    """Own lengths of the rows -> rows in each chunk: `chunk`, or by the number of tokens."""
    if chunk is None and int(own.sum()) <= KEPT_TOKENS:
        return [len(own)]
    sizes = []
    while len(own):
        rows = min(chunk or max(1, int((own.cumsum(0) <= CHUNK_TOKENS).sum())), len(own))
        sizes.append(rows)
        own = own[rows:]
    return sizes


def _spans(own: Tensor, shared: int, like: Tensor) -> list[Span]:
    """Ascending own lengths (B,) -> rows by length; query t sees the prefix and own positions 0..t."""
    lengths, rows = torch.unique(own, return_counts=True)
    return [
        Span(n, t, t, like.new_full((t, shared + t), -torch.inf, dtype=_precision(like)).triu(shared + 1))
        for n, t in zip(rows.tolist(), lengths.tolist(), strict=True)
    ]


def _positions(first: Tensor, count: Tensor) -> Tensor:
    """(P,) `first[b], first[b] + 1, …`, `count[b]` of them, row behind row."""
    before = count.cumsum(0) - count
    return torch.arange(int(count.sum())) + (first - before).repeat_interleave(count)


def _encode_prefix(tower: CausalTower, tokens: Tensor) -> list[KeysValues]:
    """(S, W) shared tokens -> each layer's keys and values; the last layer's queries are never needed."""
    hidden = tokens + tower.positions.weight[: len(tokens)]
    cache = []
    for i, layer in enumerate(tower.layers):
        normed = layer.layer_norm1(hidden)
        keys, values = (
            split_heads(layer, project(normed)[None]) for project in (layer.self_attn.k_proj, layer.self_attn.v_proj)
        )
        cache.append((keys, values))
        if i + 1 < len(tower.layers) and len(tokens):
            queries = split_heads(layer, layer.self_attn.q_proj(normed)[None])
            attended = scaled_dot_product_attention(queries, keys, values, is_causal=True, scale=layer.self_attn.scale)
            hidden = finish_layer(layer, hidden, attended.transpose(1, 2).flatten(2)[0])
    return cache


def _encode_chunk(*arguments: Any) -> Tensor:
    """`_encode_rows` of one chunk among others, in the forward pass and again in the backward pass.

    What the last one has freed lies in holes between the results that are kept. The next one's largest tensors do not
    fit into them, so that without giving them back the process would grow from chunk to chunk.
    """
    give_back()
    return _encode_rows(*arguments)


def _encode_rows(
    tower: CausalTower, vectors: Tensor, source: Tensor, spans: Sequence[Span], prefix: list[KeysValues]
) -> Tensor:
    """(P,) which of the vectors each own token is, in rows of ascending length, row behind row -> (B, D)."""
    place = tower.positions.weight[prefix[0][0].shape[2] :]
    hidden = embedding(source, vectors) + torch.cat([place[: span.length].repeat(span.rows, 1) for span in spans])

    for i, (layer, before) in enumerate(zip(tower.layers, prefix, strict=True)):
        normed = layer.layer_norm1(hidden)
        keys, values = layer.self_attn.k_proj(normed), layer.self_attn.v_proj(normed)
        if i + 1 == len(tower.layers):  # from here on the end token alone, which sees its whole row
            lengths = torch.cat([torch.full((span.rows,), span.length) for span in spans])
            ends = lengths.cumsum(0).to(hidden.device) - 1
            normed, hidden = normed.index_select(0, ends), hidden.index_select(0, ends)
            spans = [span._replace(asked=1, mask=span.mask[-1:]) for span in spans]
        attended = _attend(layer, layer.self_attn.q_proj(normed), keys, values, before, spans)
        hidden = finish_layer(layer, hidden, attended)
    return cast(Tensor, tower.projection(tower.final_norm(hidden)))


def _attend(
    layer: Any, queries: Tensor, keys: Tensor, values: Tensor, prefix: KeysValues, spans: Sequence[Span]
) -> Tensor:
    """Attention of each row to the prefix and itself, span by span; queries, keys and values row behind row."""
    queries, keys, values, *before = (x.to(_precision(x)) for x in (queries, keys, values, *prefix))
    asked = torch.split(queries, [span.rows * span.asked for span in spans])
    sizes = [span.rows * span.length for span in spans]
    found = []
    for span, *own in zip(spans, asked, torch.split(keys, sizes), torch.split(values, sizes), strict=True):
        q, k, v = (split_heads(layer, x.view(span.rows, -1, x.shape[1])) for x in own)
        k, v = (torch.cat([p.expand(span.rows, -1, -1, -1), x], 2) for p, x in zip(before, (k, v), strict=True))
        found.append(_attention(q, k, v, span.mask, layer.self_attn.scale).transpose(1, 2).flatten(2).flatten(0, 1))
    return torch.cat(found).to(prefix[0].dtype)


def _attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scale: float) -> Tensor:
    """(B, H, asked, d) queries on (B, H, S + length, d) keys and values.

    A CPU takes a handful of positions per head faster as products of all heads at once than in torch's one kernel.
    """
    if q.device.type != "cpu":
        return scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    queries, keys, values = (x.flatten(0, 1) for x in (q, k, v))
    scores = torch.baddbmm(mask, queries, keys.transpose(1, 2), alpha=scale)
    return torch.bmm(scores.softmax(-1), values).view(q.shape)


def _precision(x: Tensor) -> torch.dtype:
    """That of attention: on a CPU float32, whatever the tower's, for it is three times slower in bfloat16."""
    return torch.float32 if x.device.type == "cpu" else x.dtype


def split_heads(layer: Any, x: Tensor) -> Tensor:
    """(B, T, W) -> (B, H, T, d)."""
    return x.view(*x.shape[:2], layer.self_attn.num_heads, layer.self_attn.head_dim).transpose(1, 2)


def finish_layer(layer: Any, hidden: Tensor, attended: Tensor) -> Tensor:
    """What follows attention in a layer: output projection, residual, MLP, residual; (P, W) each."""
    hidden = hidden + layer.self_attn.out_proj(attended)
    norm, mlp = layer.layer_norm2, layer.mlp
    if not isinstance(getattr(mlp, "activation_fn", None), QuickGELUActivation):
        return cast(Tensor, hidden + mlp(norm(hidden)))
    normed = layer_norm(hidden, norm.normalized_shape, STEEPNESS * norm.weight, STEEPNESS * norm.bias, norm.eps)
    inner = silu(linear(normed, mlp.fc1.weight, STEEPNESS * mlp.fc1.bias))
    return torch.add(hidden, linear(inner, mlp.fc2.weight, STEEPNESS * mlp.fc2.bias), alpha=1 / STEEPNESS)
