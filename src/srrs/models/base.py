"""Protocols of the parts of a model, and the records that hold a run's models and prompts.

A model has up to three parts: an image tower, a text tower and an image-text matcher. Each is optional. CLIP is an
image tower and a text tower in one object (`VisionLanguage`); embeddings made elsewhere come with none of them.

C classes, L prompt length, W token embedding size, D feature size, B batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import embedding

NO_MODEL = "none"
"""Name of the model where there is none."""
LOGIT_SCALE = 100.0
"""Logit scale of CLIP and most similar models; used where embeddings come without one."""


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
        """Make prompts, one for each class, of vectors (C, L, W) that are all learned."""
        rows, longest, width = embeddings.shape
        source = torch.arange(rows * longest, device=embeddings.device).view(rows, longest)
        return cls(embeddings.new_empty(0, width), embeddings.flatten(0, 1), source, length, shared, torch.arange(rows))

    @property
    def vectors(self) -> Tensor:
        """Return the vectors (F + K, W) that `source` refers to."""
        return torch.cat([self.known, self.learned])

    @property
    def embeddings(self) -> Tensor:
        """Return the vectors (C, L, W) at every position."""
        return embedding(self.source, self.vectors)

    def learns_at(self, positions: slice) -> bool:
        """Return whether any row reads a learned vector at one of these positions."""
        return bool((self.source[:, positions] >= len(self.known)).any())


class ImageTower(Protocol):
    """A frozen image encoder. Features have unit length, are float32, and lie on `device`."""

    name: str
    """The name that the user gave: a hub name, a path, `open_clip:...`, or `bundled`."""
    fingerprint: str
    """Digest of weights and preprocessing, followed by precision and kernels; part of every cache key."""
    feature_size: int
    device: torch.device
    preprocessing: dict[str, object]
    """The settings that turn an image into pixels, as JSON; part of every cache key and of a saved model."""

    def preprocess(self, image: Image.Image) -> Tensor:
        """Resize, crop and normalize an RGB image as in the training of the model; returns (3, H, W) float32."""
        ...

    def preprocess_crop(self, image: Image.Image, box: tuple[float, float, float, float], flip: bool) -> Tensor:
        """Cut the box (left, top, right, bottom in pixels) out of an RGB image; returns an augmented view (3, H, W)."""
        ...

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Encode pixels (B, 3, H, W) as features (B, D)."""
        ...


class TextTower(Protocol):
    """A frozen text encoder that takes token vectors, so that prompts can be learned. Features as in `ImageTower`."""

    name: str
    fingerprint: str
    feature_size: int
    device: torch.device
    token_size: int
    context_length: int
    """Longest prompt in tokens, special tokens included."""
    logit_scale: float
    """Factor from cosine similarities to logits."""

    def tokens(self, text: str) -> list[int]:
        """Return the token ids of a piece of text, without start and end tokens."""
        ...

    def embed(self, ids: Sequence[int]) -> Tensor:
        """Return the token embeddings (len(ids), W) of token ids, detached."""
        ...

    @property
    def start(self) -> list[int]:
        """Return the token ids at the start of every prompt; may be empty."""
        ...

    @property
    def end(self) -> list[int]:
        """Return the token ids at the end of every prompt; may be empty."""
        ...

    def encode_prompts(self, prompts: Prompts) -> Tensor:
        """Encode prompts as (C, D), one row per prompt; gradients flow to `prompts.learned`."""
        ...


class VisionLanguage(ImageTower, TextTower, Protocol):
    """A frozen dual encoder, such as CLIP: an image tower and a text tower in one object."""


class Matcher(Protocol):
    """A frozen image-text matcher: does this image show what this text says?"""

    name: str
    fingerprint: str

    def encode_images(self, images: Sequence[Image.Image]) -> Tensor:
        """Encode images as states (B, tokens, width), float16 on the CPU."""
        ...

    def scores(self, states: Tensor, texts: Sequence[str], rows: Tensor, texts_of: Tensor) -> Tensor:
        """Match probability of `states[rows[i]]` with `texts[texts_of[i]]`, (len(rows),) in 0..1."""
        ...

    def similarity(self, states: Tensor, texts: Sequence[str]) -> Tensor:
        """Return the contrastive similarity of every image with every text: (B, len(texts)), from 0 to 1."""
        ...


@dataclass(frozen=True)
class ClassVectors:
    """Vectors that stand for the classes where there is no text tower."""

    plain: Tensor | None = None
    """(C, D) unit vectors of the class names, which classify without tuning."""
    described: Tensor | None = None
    """(C, D) unit vectors of the class descriptions."""


@dataclass(frozen=True)
class Models:
    """The frozen models of a run. A part that is missing is None; use `Models.of` for a dual encoder."""

    image: ImageTower | None
    text: TextTower | None
    matcher: Matcher | None
    class_vectors: ClassVectors | None
    logit_scale: float
    fingerprint: str
    """Of the model that made the features; '' if it is unknown."""
    device: torch.device
    feature_size: int
    name: str
    """The name that the user gave; `none` for embeddings without a model."""

    @classmethod
    def of(cls, model: VisionLanguage, matcher: Matcher | None = None) -> "Models":
        """Return the models of a run with this dual encoder."""
        return cls(
            image=model, text=model, matcher=matcher, class_vectors=None, logit_scale=model.logit_scale,
            fingerprint=model.fingerprint, device=model.device, feature_size=model.feature_size, name=model.name,
        )  # fmt: skip

    @classmethod
    def of_images(cls, tower: ImageTower) -> "Models":
        """Return the models of a run with an image tower alone, such as a network that was trained without text."""
        return cls(
            image=tower, text=None, matcher=None, class_vectors=None, logit_scale=LOGIT_SCALE,
            fingerprint=tower.fingerprint, device=tower.device, feature_size=tower.feature_size, name=tower.name,
        )  # fmt: skip

    @classmethod
    def without_towers(
        cls,
        feature_size: int,
        class_vectors: ClassVectors | None = None,
        *,
        logit_scale: float | None = None,
        fingerprint: str = "",
        device: torch.device | None = None,
        matcher: Matcher | None = None,
    ) -> "Models":
        """Return the models of a run on embeddings that were made elsewhere."""
        return cls(
            image=None, text=None, matcher=matcher, class_vectors=class_vectors,
            logit_scale=LOGIT_SCALE if logit_scale is None else logit_scale, fingerprint=fingerprint,
            device=device or torch.device("cpu"), feature_size=feature_size, name=NO_MODEL,
        )  # fmt: skip

    @property
    def revision(self) -> str:
        """Return the commit of the towers on the hub; '' for a model from elsewhere."""
        return str(getattr(self.image, "revision", ""))

    @property
    def kernels(self) -> str:
        """Return the library and precision of matrix products, such as `onednn-packed fp32`; '' if unknown."""
        return str(getattr(self.image, "kernels", ""))
