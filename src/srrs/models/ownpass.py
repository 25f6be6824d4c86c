"""The text pass through the forward method of the tower, for towers that are not causal.

If every position attends to every other position, prompts cannot share a prefix. The padding is treated as in the
training of the tower:

* **BERT-like** towers mask the padding, so prompts are cut to the longest prompt of their chunk.
* **SigLIP** was trained with unmasked padding, and its feature is the output at the last position. Therefore the
  padding is part of the prompt, and every prompt has the full context length.

These models take token ids, not vectors. The pass gives them ids with the right shape and padding. A hook on the input
embeddings then replaces the embeddings of these ids by the vectors of the prompts.

C prompts, B prompts of a chunk, L prompt length, W token width, D feature size.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad
from torch.utils.checkpoint import checkpoint

from srrs.models.base import Prompts

CHUNK_ROWS = 64
"""Number of prompts that are encoded at a time."""


@dataclass(frozen=True)
class OwnTower:
    """A text tower that is computed by its own forward method."""

    features: Callable[[Tensor, Tensor | None], Tensor]
    """`(ids (C, L), mask (C, L) or None) -> features (C, D)`."""
    tokens: nn.Embedding
    """The input embeddings of the tower."""
    pad_id: int
    """Token id of the padding."""
    full_length: int | None
    """Length to which every prompt is padded, without a mask; None if the padding is masked."""


def own_text_pass(tower: OwnTower, prompts: Prompts, chunk: int = CHUNK_ROWS) -> Tensor:
    """Return the features (C, D) of the prompts as unit vectors, float32. Gradients flow to the learned vectors.

    Prompts are sorted by length and encoded in chunks of `chunk` prompts. If there are several chunks, the backward
    pass computes each chunk again.
    """
    length = prompts.length.cpu()
    order = torch.argsort(length, stable=True)
    chunks = torch.split(order, chunk)
    embeddings = prompts.embeddings
    device = embeddings.device
    recompute = len(chunks) > 1 and torch.is_grad_enabled() and embeddings.requires_grad

    features = []
    for rows in chunks:
        longest = int(length[rows].max())
        arguments = (tower, embeddings[rows.to(device), :longest], length[rows].to(device))
        features.append(
            checkpoint(_encode_rows, *arguments, use_reentrant=False, preserve_rng_state=False)
            if recompute
            else _encode_rows(*arguments)
        )
    restore = torch.argsort(order).to(device)
    return normalize(torch.cat(features)[restore].float(), dim=-1)


def _encode_rows(tower: OwnTower, vectors: Tensor, length: Tensor) -> Tensor:
    """Return the features (B, D) of prompts (B, L, W), of which prompt b uses the first `length[b]` positions."""
    weight = tower.tokens.weight
    width = tower.full_length or vectors.shape[1]
    real = torch.arange(width, device=vectors.device) < length[:, None]  # (B, L)
    vectors = pad(vectors.to(weight.dtype), (0, 0, 0, width - vectors.shape[1]))
    vectors = torch.where(real[..., None], vectors, weight[tower.pad_id])
    filler = 0 if tower.pad_id else 1
    ids = torch.where(real, filler, tower.pad_id)
    with _embedded_as(tower.tokens, vectors):
        return tower.features(ids, None if tower.full_length else real.long())


@contextmanager
def _embedded_as(tokens: nn.Embedding, vectors: Tensor) -> Iterator[None]:
    """Within this block, the embedding `tokens` returns `vectors` (B, L, W) for all ids."""
    handle = tokens.register_forward_hook(lambda module, inputs, output: vectors)
    try:
        yield
    finally:
        handle.remove()
