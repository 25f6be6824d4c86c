"""Protocols of the parts of a model, and the records that hold a run's models and prompts.

A model has up to three parts: an image tower, a text tower and an image-text matcher. Each part is optional. CLIP is an
image tower and a text tower in one object (`VisionLanguage`). A run on embeddings has neither an image tower nor a text
tower.

C prompts or classes, L prompt length, W token embedding size, D feature size, B batch size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import embedding

NO_MODEL = "none"
"""Name of the model in a run without a model."""
LOGIT_SCALE = 100.0
"""Logit scale of CLIP and of most similar models. It is used for embeddings without a logit scale."""


@dataclass(frozen=True)
class Prompts:
    """Prompts as the text tower reads them: a table of token vectors, and for each position a row of the table.

    Some of the token vectors are learned. There are C prompts; several may belong to one class. The first `length[c]`
    positions of prompt c are the start tokens, the content and the end tokens. The start and end tokens are those of
    the tower. Later positions have no meaning. The vectors do not contain position embeddings.
    """

    known: Tensor
    """(F, W) vectors of the vocabulary's tokens."""
    learned: Tensor
    """(K, W) vectors with gradient."""
    source: Tensor
    """(C, L) for each position, the row of `vectors` that is used there. Known vectors come first, then learned
    ones."""
    length: Tensor
    """(C,) length of each prompt with its special tokens. The tensor is on the CPU, where the passes are planned."""
    shared: int
    """Number of leading positions that have the same vectors in all prompts (start tokens and shared context)."""
    class_of: Tensor
    """(C,) the class of each prompt."""

    @classmethod
    def of(cls, embeddings: Tensor, length: Tensor, shared: int = 0) -> "Prompts":
        """Return prompts made from vectors (C, L, W), all of which are learned. Prompt c is that of class c."""
        rows, longest, width = embeddings.shape
        source = torch.arange(rows * longest, device=embeddings.device).view(rows, longest)
        return cls(embeddings.new_empty(0, width), embeddings.flatten(0, 1), source, length, shared, torch.arange(rows))

    @property
    def vectors(self) -> Tensor:
        """Return the table of token vectors (F + K, W): the known vectors, then the learned ones."""
        return torch.cat([self.known, self.learned])

    @property
    def embeddings(self) -> Tensor:
        """Return the vectors (C, L, W) at all positions."""
        return embedding(self.source, self.vectors)

    def learns_at(self, positions: slice) -> bool:
        """Return whether any prompt has a learned vector at one of these positions."""
        return bool((self.source[:, positions] >= len(self.known)).any())


class ImageTower(Protocol):
    """A frozen image encoder. Its features have unit length, are float32, and are on `device`."""

    name: str
    """The name that the user gave: a hub name, a path, `open_clip:...`, or `bundled`."""
    fingerprint: str
    """Digest of weights and preprocessing, followed by precision and kernels; part of every cache key."""
    feature_size: int
    """Feature size D."""
    device: torch.device
    preprocessing: dict[str, object]
    """The settings that turn an image into pixels, as JSON; part of every cache key and of a saved model."""

    def preprocess(self, image: Image.Image) -> Tensor:
        """Return the pixels (3, H, W) float32 of an RGB image, resized, cropped and normalized for the model."""
        ...

    def preprocess_crop(self, image: Image.Image, box: tuple[float, float, float, float], flip: bool) -> Tensor:
        """Return an augmented view (3, H, W) of an RGB image: the box (left, top, right, bottom in pixels), resized.

        With `flip`, the view is mirrored from left to right.
        """
        ...

    def encode_images(self, pixels: Tensor) -> Tensor:
        """Return the features (B, D) of pixels (B, 3, H, W)."""
        ...


class TextTower(Protocol):
    """A frozen text encoder that takes token vectors, so that prompts can be learned.

    Its features have unit length, are float32, and are on `device`.
    """

    name: str
    """The name that the user gave, as in `ImageTower`."""
    fingerprint: str
    """Digest of the weights, as in `ImageTower`."""
    feature_size: int
    """Feature size D."""
    device: torch.device
    token_size: int
    """Token embedding size W."""
    context_length: int
    """Length of the longest prompt in tokens, special tokens included."""
    logit_scale: float
    """Factor from cosine similarities to logits."""

    def tokens(self, text: str) -> list[int]:
        """Return the token ids of a text, without start and end tokens."""
        ...

    def embed(self, ids: Sequence[int]) -> Tensor:
        """Return the token embeddings (len(ids), W) of token ids, without a gradient."""
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
        """Return the features (C, D) of the prompts. Gradients flow to `prompts.learned`."""
        ...


class VisionLanguage(ImageTower, TextTower, Protocol):
    """A frozen dual encoder, such as CLIP: an image tower and a text tower in one object."""


class Matcher(Protocol):
    """A frozen image-text matcher: a model that scores whether an image matches a text."""

    name: str
    """The name that the user gave, or `bundled`."""
    fingerprint: str
    """Digest of weights and preprocessing; part of every cache key."""

    def encode_images(self, images: Sequence[Image.Image]) -> Tensor:
        """Return the encoded images, called states (B, tokens, width), float16 on the CPU."""
        ...

    def scores(self, states: Tensor, texts: Sequence[str], rows: Tensor, texts_of: Tensor) -> Tensor:
        """Return the probability that `states[rows[i]]` matches `texts[texts_of[i]]`: (len(rows),) in 0..1."""
        ...

    def similarity(self, states: Tensor, texts: Sequence[str]) -> Tensor:
        """Return the contrastive similarity of every image with every text: (B, len(texts)), from 0 to 1."""
        ...


@dataclass(frozen=True)
class ClassVectors:
    """Class vectors for a run without a text tower."""

    plain: Tensor | None = None
    """(C, D) unit vectors of the class names, which classify without tuning."""
    described: Tensor | None = None
    """(C, D) unit vectors of the class descriptions."""


@dataclass(frozen=True)
class Models:
    """The frozen models of a run. A missing part is None. Use `Models.of` for a dual encoder."""

    image: ImageTower | None
    text: TextTower | None
    matcher: Matcher | None
    class_vectors: ClassVectors | None
    """Class vectors of a run without a text tower."""
    logit_scale: float
    """Factor from cosine similarities to logits."""
    fingerprint: str
    """Fingerprint of the model that made the features; '' if it is unknown."""
    device: torch.device
    feature_size: int
    """Feature size D."""
    name: str
    """The name that the user gave; `none` for embeddings without a model."""

    @classmethod
    def of(cls, model: VisionLanguage, matcher: Matcher | None = None) -> "Models":
        """Return the models of a run with a dual encoder, such as CLIP."""
        return cls(
            image=model, text=model, matcher=matcher, class_vectors=None, logit_scale=model.logit_scale,
            fingerprint=model.fingerprint, device=model.device, feature_size=model.feature_size, name=model.name,
        )  # fmt: skip

    @classmethod
    def of_images(cls, tower: ImageTower) -> "Models":
        """Return the models of a run with an image tower only, such as a network that was trained without text."""
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
        """Return the models of a run on embeddings that another program made.

        `fingerprint` is that of the model that made the embeddings. `logit_scale` is by default `LOGIT_SCALE`.
        """
        return cls(
            image=None, text=None, matcher=matcher, class_vectors=class_vectors,
            logit_scale=LOGIT_SCALE if logit_scale is None else logit_scale, fingerprint=fingerprint,
            device=device or torch.device("cpu"), feature_size=feature_size, name=NO_MODEL,
        )  # fmt: skip

    @property
    def revision(self) -> str:
        """Return the commit of the model on the hub; '' for a model that is not from the hub."""
        return str(getattr(self.image, "revision", ""))

    @property
    def kernels(self) -> str:
        """Return the library and precision of matrix products, such as `onednn-packed fp32`; '' if unknown."""
        return str(getattr(self.image, "kernels", ""))
