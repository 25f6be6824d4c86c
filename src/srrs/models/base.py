"""What the rest of the package asks of a model: two small protocols, and the records of a run's models and prompts.

C classes, L prompt length, W token embedding size, D feature size, B batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import embedding


@dataclass(frozen=True)
class Prompts:
    """Prompts ready for the text tower: which token vector, some of them learned, each position reads.

    Row c is `start tokens, content, end tokens` in its first `length[c]` positions, then anything. The start and end
    tokens are the tower's own; positions are not added yet.
    """

    known: Tensor
    """(F, W) vectors of the vocabulary's tokens."""
    learned: Tensor
    """(K, W) vectors with gradient."""
    source: Tensor
    """(C, L) row of the known vectors and, counted on behind them, of the learned ones."""
    length: Tensor
    """(C,) real length, special tokens included; on the CPU, where passes are planned."""
    shared: int
    """How many leading positions read the same vectors in every row (start token and shared context)."""
    class_of: Tensor
    """(C,) the class each row belongs to; several rows may name one class."""

    @classmethod
    def of(cls, embeddings: Tensor, length: Tensor, shared: int = 0) -> "Prompts":
        """Prompts of a class each that are there as vectors (C, L, W), every one of them learned."""
        rows, longest, width = embeddings.shape
        source = torch.arange(rows * longest, device=embeddings.device).view(rows, longest)
        return cls(embeddings.new_empty(0, width), embeddings.flatten(0, 1), source, length, shared, torch.arange(rows))

    @property
    def vectors(self) -> Tensor:
        """(F + K, W) what `source` counts."""
        return torch.cat([self.known, self.learned])

    @property
    def embeddings(self) -> Tensor:
        """(C, L, W) the vectors at every position."""
        return embedding(self.source, self.vectors)

    def learns_at(self, positions: slice) -> bool:
        """Whether any row reads a learned vector at one of these positions."""
        return bool((self.source[:, positions] >= len(self.known)).any())


class VisionLanguage(Protocol):
    """A frozen dual encoder. Features are unit length, float32, on `device`."""

    name: str
    """What the user asked for: a hub name, a path, `open_clip:...`, or `bundled`."""
    fingerprint: str
    """Digest of weights and preprocessing; part of every cache key."""
    feature_size: int
    token_size: int
    context_length: int
    """Longest prompt the text tower takes, special tokens included."""
    logit_scale: float
    device: torch.device
    preprocessing: dict[str, object]
    """Everything that turns a picture into pixels, as JSON; part of every cache key and of a saved model."""

    def preprocess(self, image: Image.Image) -> Tensor:
        """An RGB picture as (3, H, W) float32: resize, crop and normalise as the model was trained."""
        ...

    def preprocess_crop(self, image: Image.Image, box: tuple[float, float, float, float], flip: bool) -> Tensor:
        """The box (left, top, right, bottom in pixels) of an RGB picture as (3, H, W): one augmented view."""
        ...

    def encode_images(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D)."""
        ...

    def tokens(self, text: str) -> list[int]:
        """Token ids of a piece of text, without start and end tokens."""
        ...

    def embed(self, ids: Sequence[int]) -> Tensor:
        """Token ids -> (len(ids), W) token embeddings, detached."""
        ...

    @property
    def start(self) -> list[int]:
        """Ids every prompt starts with (may be empty)."""
        ...

    @property
    def end(self) -> list[int]:
        """Ids every prompt ends with (may be empty)."""
        ...

    def encode_prompts(self, prompts: Prompts) -> Tensor:
        """-> (C, D), one row per prompt, gradients flowing to `prompts.learned`: the text pass."""
        ...


class Matcher(Protocol):
    """A frozen image-text matcher: does this picture show what this text says?"""

    name: str
    fingerprint: str

    def encode_images(self, images: Sequence[Image.Image]) -> Tensor:
        """The image side, encoded once: (B, tokens, width) states, float16 on the CPU."""
        ...

    def scores(self, states: Tensor, texts: Sequence[str], rows: Tensor, texts_of: Tensor) -> Tensor:
        """Match probability of `states[rows[i]]` with `texts[texts_of[i]]`, (len(rows),) in 0..1."""
        ...

    def similarity(self, states: Tensor, texts: Sequence[str]) -> Tensor:
        """Contrastive similarity of every picture with every text, (B, len(texts)) in 0..1."""
        ...


@dataclass(frozen=True)
class Models:
    """The frozen models of a run."""

    clip: VisionLanguage
    matcher: Matcher | None
