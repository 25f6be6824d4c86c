"""Image-text matchers: models that score whether an image matches a text.

N images, T texts, S states per image, W state width, L text length in tokens.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from srrs.models.base import Matcher
from srrs.models.device import choose_device
from srrs.models.fingerprint import digest
from srrs.models.frozen import kernel_for, pack
from srrs.models.hub import BUNDLED, find_cached, find_folder, load_preprocessing, load_tokenizer, load_weights, loading
from srrs.models.lanes import in_lanes
from srrs.models.preprocess import Preprocessing
from srrs.models.revision import commit_of

MATCHERS = {"blip": "BlipForImageTextRetrieval"}
"""Classes of transformers for the types of matchers that can be loaded."""
BLIP = "Salesforce/blip-itm-base-coco"
"""The matcher that `auto` loads from disk."""
BATCH = 64
"""Number of images or pairs in a batch on other devices than a CPU."""
CPU_BATCH = 16
"""Number of images or pairs in a batch on a CPU, where such batches run in parallel threads."""
Part = TypeVar("Part")


def load_matcher(choice: str, model_name: str, device: str = "auto") -> Matcher | None:
    """Load the image-text matcher with this name; None for `none`.

    Parameters
    ----------
    choice : `none`, a hub name, a path, or `auto`. `auto` means the bundled matcher for the bundled model. For another
        model, it means BLIP if BLIP is on disk and the device is CUDA, and no matcher otherwise.
    model_name : name of the dual encoder of the run.
    device : auto (CUDA, then MPS, then CPU) or a device's name.

    Raises
    ------
    ModelError
        A matcher that was named cannot be loaded.
    SettingsError
        The device is unknown or not available.
    """
    where = choose_device(device)
    if choice == "none":
        return None
    if choice == "auto":
        if model_name == BUNDLED:
            return _blip(find_folder(BUNDLED, "matcher"), BUNDLED, where)
        folder = find_cached(BLIP) if where.type == "cuda" else None
        return _blip(folder, BLIP, where) if folder is not None else None
    return _blip(find_folder(choice, "matcher"), choice, where)


def _blip(folder: Path, name: str, device: torch.device) -> "BlipMatcher":
    with loading(name):
        model = load_weights(folder, MATCHERS, name)
        tokenizer, preprocessing = load_tokenizer(folder, name), load_preprocessing(folder, name)
        kernel = kernel_for(device, torch.float32)
        fingerprint = digest(model, (folder / "config.json").read_bytes(), preprocessing, kernel=kernel)
        model = model.to(device)
        if kernel == "onednn-packed":
            pack(model)
        matcher = BlipMatcher(
            model, tokenizer, preprocessing, name=name, fingerprint=fingerprint, revision=commit_of(folder)
        )
        matcher.encode_images([Image.new("RGB", (8, 8), "gray")])  # settings that do not fit the weights fail here
        return matcher


MatchKind = Literal["itm", "itc"]
"""Kind of score: the probability of the matching head (`itm`), or the contrastive similarity (`itc`)."""


class BlipMatcher:
    """BLIP as an image-text matcher, with the scores of its matching head and its contrastive similarity.

    In the matching head, a text encoder attends to the image. The model is frozen and without dropout, so an image and
    a text always have the same score.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        preprocessing: Preprocessing,
        *,
        name: str,
        fingerprint: str,
        revision: str = "",
    ):
        self.name = name
        self.revision = revision
        self.fingerprint = fingerprint
        self.device = cast(torch.device, model.device)
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._preprocessing = preprocessing

    @torch.no_grad()
    def encode_images(self, images: Sequence[Image.Image]) -> Tensor:
        """Return the encoded RGB images, called states (N, S, W), float16 on the CPU."""
        pixels = torch.stack([self._preprocessing.plain(image) for image in images])

        def encode(batch: Tensor) -> Tensor:
            return cast(Tensor, self._model.vision_model(pixel_values=batch.to(self.device)).last_hidden_state.half())

        return torch.cat([states.cpu() for states in self._side_by_side(encode, torch.split(pixels, self._batch))])

    @torch.no_grad()
    def scores(self, states: Tensor, texts: Sequence[str], rows: Tensor, texts_of: Tensor) -> Tensor:
        """Return the probability (ITM) that `states[rows[i]]` matches `texts[texts_of[i]]`: (len(rows),), float32."""
        ids, mask = self._tokenize(texts)
        order = mask.sum(1)[texts_of.cpu()].argsort(stable=True)  # texts of a batch have similar lengths: less padding
        rows, texts_of = rows.cpu()[order], texts_of.cpu()[order]

        def match(part: tuple[Tensor, Tensor]) -> Tensor:
            images, words = part
            longest = int(mask[words].sum(1).max())
            fused = self._model.text_encoder(
                input_ids=ids[words, :longest].to(self.device),
                attention_mask=mask[words, :longest].to(self.device),
                encoder_hidden_states=states[images].to(self.device, torch.float32),
            ).last_hidden_state
            return cast(Tensor, self._model.itm_head(fused[:, 0]).softmax(-1)[:, 1].float())

        parts = zip(torch.split(rows, self._batch), torch.split(texts_of, self._batch), strict=True)
        found = self._side_by_side(match, list(parts)) if len(rows) else []
        return torch.cat([torch.empty(0), *(scores.cpu() for scores in found)])[order.argsort()]

    def _side_by_side(self, function: Callable[[Part], Tensor], parts: Sequence[Part]) -> list[Tensor]:
        """Return the result of each part, computed in parallel threads on a CPU, else one after the other."""
        return in_lanes(function, parts) if self.device.type == "cpu" else list(map(function, parts))

    @property
    def _batch(self) -> int:
        return CPU_BATCH if self.device.type == "cpu" else BATCH

    @torch.no_grad()
    def similarity(self, states: Tensor, texts: Sequence[str]) -> Tensor:
        """Return the contrastive similarity (ITC) of every image and every text: (N, T), the cosine mapped to 0..1."""
        ids, mask = self._tokenize(texts)
        words = [
            self._model.text_encoder(input_ids=i.to(self.device), attention_mask=m.to(self.device)).last_hidden_state
            for i, m in zip(torch.split(ids, BATCH), torch.split(mask, BATCH), strict=True)
        ]
        text = normalize(self._model.text_proj(torch.cat([w[:, 0] for w in words])).float(), dim=-1)
        first = states[:, 0].to(self.device, torch.float32)
        image = normalize(self._model.vision_proj(first).float(), dim=-1)
        return ((1 + image @ text.T) / 2).clamp(0, 1).cpu()

    def _tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return the token ids (T, L) and the attention mask (T, L) of the texts."""
        longest = self._model.config.text_config.max_position_embeddings
        made = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=longest, padding_side="right", return_tensors="pt"
        )
        return made["input_ids"], made["attention_mask"]


class MemoizedScores:
    """Scores of pairs of an image and a class. Each score is computed when it is first needed, and then kept.

    `states` are the encoded images, and `texts` the texts of the C classes. The call `scores(rows, classes)` returns
    the scores (K,), float32 in 0..1, of the images at the positions `rows` (K,) and the classes `classes` (K,).
    """

    def __init__(self, matcher: Matcher, states: Tensor, texts: Sequence[str], *, kind: MatchKind = "itm"):
        self._matcher = matcher
        self._states = states
        self._texts = list(texts)
        self._kind = kind
        self._keys: NDArray[np.int64] = np.empty(0, np.int64)  # position of the image times C, plus the class; sorted
        self._values: NDArray[np.float32] = np.empty(0, np.float32)

    def __call__(self, rows: NDArray[np.integer], classes: NDArray[np.integer]) -> NDArray[np.float32]:
        keys = np.asarray(rows, np.int64) * len(self._texts) + np.asarray(classes, np.int64)
        new = np.setdiff1d(keys, self._keys)
        if len(new):
            merged = np.concatenate([self._keys, new])
            order = np.argsort(merged)
            self._keys = merged[order]
            self._values = np.concatenate([self._values, self._compute(new)])[order]
        return self._values[np.searchsorted(self._keys, keys)]

    def know(self, scores: NDArray[np.floating]) -> None:
        """Set the scores (N, C) of all images and classes, which were computed before."""
        self._keys, self._values = np.arange(scores.size), np.asarray(scores, np.float32).ravel()

    def _compute(self, keys: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the scores of the pairs with these keys."""
        rows, classes = (torch.from_numpy(part) for part in np.divmod(keys, len(self._texts)))
        if self._kind == "itm":
            return np.asarray(self._matcher.scores(self._states, self._texts, rows, classes), np.float32)
        unique, at = torch.unique(rows, return_inverse=True)
        return np.asarray(self._matcher.similarity(self._states[unique], self._texts)[at, classes], np.float32)
