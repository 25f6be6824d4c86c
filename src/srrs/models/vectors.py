"""No model at all: embeddings that were made elsewhere, and vectors that stand for the classes."""

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from PIL import Image
from torch import Tensor

from srrs.errors import ModelError
from srrs.models.base import LOGIT_SCALE, NO_MODEL, Prompts

NONE = NO_MODEL


class Vectors:
    """Stands where a vision-language model stands, and has neither an image tower nor a text tower.

    Parameters
    ----------
    feature_size : D.
    class_vectors : (C, D) unit vectors that classify untuned; None where only the labels can tell (see
        `class_means`).
    described_vectors : (C, D) unit vectors of described classes, for the micro learner.
    logit_scale : what similarities are multiplied by.
    fingerprint : of the model that made the embeddings, '' where it is not known.
    """

    name = NONE
    token_size = 0
    context_length = 0
    start: list[int] = []  # noqa: RUF012  nobody writes to them
    end: list[int] = []  # noqa: RUF012

    def __init__(
        self,
        feature_size: int,
        class_vectors: Tensor | None = None,
        described_vectors: Tensor | None = None,
        *,
        logit_scale: float | None = None,
        fingerprint: str = "",
        device: torch.device | None = None,
    ):
        self.device = device or torch.device("cpu")
        self.feature_size = feature_size
        self.logit_scale = LOGIT_SCALE if logit_scale is None else logit_scale
        self.fingerprint = fingerprint
        self.preprocessing: dict[str, object] = {}
        self.class_vectors = None if class_vectors is None else class_vectors.to(self.device)
        self.described_vectors = None if described_vectors is None else described_vectors.to(self.device)

    def with_classes(self, class_vectors: Tensor) -> "Vectors":
        """The same with these class vectors (C, D)."""
        return Vectors(
            self.feature_size, class_vectors, self.described_vectors, logit_scale=self.logit_scale,
            fingerprint=self.fingerprint, device=self.device,
        )  # fmt: skip

    def preprocess(self, image: Image.Image) -> Tensor:
        """Raises ModelError, as all below: there is no tower."""
        _no_tower()

    def preprocess_crop(self, image: Image.Image, box: Any, flip: bool) -> Tensor:
        _no_tower()

    def encode_images(self, pixels: Tensor) -> Tensor:
        _no_tower()

    def tokens(self, text: str) -> list[int]:
        _no_tower()

    def embed(self, ids: Sequence[int]) -> Tensor:
        _no_tower()

    def encode_prompts(self, prompts: Prompts) -> Tensor:
        _no_tower()


def class_means(features: Tensor, labels: Tensor, classes: int) -> Tensor:
    """(C, D) unit vectors: the mean of the features (N, D) that carry each label; zero for a class without any."""
    sums = torch.zeros(classes, features.shape[1], device=features.device).index_add_(0, labels, features)
    return torch.nn.functional.normalize(sums, dim=1)


def _no_tower() -> NoReturn:
    raise ModelError(
        "There is no model to encode photographs with (--model none): give their embeddings with --features, or the "
        "model that made the embeddings with --model."
    )
