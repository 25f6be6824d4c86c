"""A dual encoder of transformers (CLIP, SigLIP, any pair of towers) as a `VisionLanguage`."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from srrs.models.base import Prompts
from srrs.models.frozen import kernels_of
from srrs.models.imagepass import VisionTransformer, image_pass
from srrs.models.ownpass import OwnTower, own_text_pass
from srrs.models.preprocess import Box, Preprocessing
from srrs.models.textpass import CausalTower, causal_text_pass


class DualEncoder:
    """A frozen pair of towers with its tokenizer and preprocessing. See `VisionLanguage` for the methods.

    Use `srrs.models.hub.load_model` to make one.
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
        self.model = model
        self.kernels = kernels_of(model)
        self.device = cast(torch.device, model.device)
        self.logit_scale = float(model.logit_scale.detach().float().exp())
        self._tokenizer = tokenizer
        self._preprocessing = preprocessing
        self.preprocessing = preprocessing.to_json()
        self._lower = model.config.model_type == "siglip"  # trained on lower case; not every tokenizer converts to it
        self._tokens: torch.nn.Embedding = model.text_model.get_input_embeddings()
        self.token_size = self._tokens.embedding_dim
        self.context_length = _context_length(model.config.text_config, tokenizer)
        self.start, self.end = _special_tokens(tokenizer)
        self._text_pass = _text_pass(model, self._tokens, tokenizer, self.context_length)
        self._image_pass = _image_pass(model)
        with torch.no_grad():
            self.feature_size = int(self.encode_prompts(self._empty_prompt()).shape[1])

    def preprocess(self, image: Image.Image) -> Tensor:
        return self._preprocessing.plain(image)

    def preprocess_crop(self, image: Image.Image, box: Box, flip: bool) -> Tensor:
        return self._preprocessing.view(image, box, flip)

    @torch.no_grad()
    def encode_images(self, pixels: Tensor) -> Tensor:
        return self._image_pass(pixels.to(self.device, self._tokens.weight.dtype))

    def tokens(self, text: str) -> list[int]:
        text = text.lower() if self._lower else text
        return list(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def embed(self, ids: Sequence[int]) -> Tensor:
        return self._tokens.weight.detach()[torch.tensor(ids, dtype=torch.long, device=self.device)].float()

    def encode_prompts(self, prompts: Prompts) -> Tensor:
        return self._text_pass(prompts)

    def _empty_prompt(self) -> Prompts:
        ids = [*self.start, *self.end]
        return Prompts.of(self.embed(ids)[None], torch.tensor([len(ids)]))


def _special_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return the token ids that the tokenizer adds before and after a text."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    full = tokenizer("a")["input_ids"]
    at = next(i for i in range(len(full)) if full[i : i + len(bare)] == bare)
    return full[:at], full[at + len(bare) :]


def _context_length(config: Any, tokenizer: Any) -> int:
    """Return the length of the longest prompt in tokens."""
    positions = int(config.max_position_embeddings)
    if config.model_type in ("roberta", "xlm-roberta", "camembert"):
        positions -= config.pad_token_id + 1  # position ids of these towers begin after the padding id
    return min(positions, int(tokenizer.model_max_length))


def _image_pass(model: Any) -> Callable[[Tensor], Tensor]:
    """Return the function from pixels to features: `image_pass` for CLIP's towers, else the model's own function."""
    if model.config.vision_config.model_type == "clip_vision_model" and hasattr(model, "visual_projection"):
        tower = VisionTransformer.of(model.vision_model, model.visual_projection)
        return lambda pixels: image_pass(tower, pixels)
    return lambda pixels: normalize(model.get_image_features(pixel_values=pixels).pooler_output.float(), dim=-1)


def _text_pass(model: Any, tokens: torch.nn.Embedding, tokenizer: Any, length: int) -> Callable[[Prompts], Tensor]:
    """Return the function from prompts to features: `causal_text_pass` for CLIP's towers, else `own_text_pass`."""
    text = model.config.text_config.model_type
    if text in ("clip", "clip_text_model"):
        causal = CausalTower.of(model.text_model, model.text_projection)
        return lambda prompts: causal_text_pass(causal, prompts)

    def features(ids: Tensor, mask: Tensor | None) -> Tensor:
        return cast(Tensor, model.get_text_features(input_ids=ids, attention_mask=mask).pooler_output)

    pads_are_read = text in ("siglip", "siglip_text_model")
    own = OwnTower(features, tokens, int(tokenizer.pad_token_id), full_length=length if pads_are_read else None)
    return lambda prompts: own_text_pass(own, prompts)
