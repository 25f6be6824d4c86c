"""A CLIP of open_clip as a `VisionLanguage`, with the exact text pass of `textpass`.

The name is `open_clip:ARCHITECTURE/PRETRAINED`, such as `open_clip:RN50/openai`. PRETRAINED may also be the path of a
checkpoint, or of a folder that contains one. `open_clip:FOLDER` is a folder that open_clip wrote, with its
configuration.

Only text towers like that of CLIP are supported: causal towers whose feature is the output at the end token, with
CLIP's tokenizer. Other towers of open_clip (SigLIP, CLIPA, CoCa, towers of transformers) are refused before anything is
downloaded.

W token width, D feature size.
"""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import normalize

from srrs.errors import ModelError
from srrs.models import openclip_weights as weights
from srrs.models.base import Prompts
from srrs.models.fingerprint import digest
from srrs.models.frozen import FrozenLinear, Kernel, kernels_of, pack
from srrs.models.preprocess import Box, Preprocessing
from srrs.models.textpass import CausalTower, causal_text_pass


class OpenClipEncoder:
    """A frozen CLIP of open_clip; see `VisionLanguage` for the methods. Use `load_open_clip` to make one."""

    def __init__(
        self, model: Any, tokenizer: Any, preprocessing: Preprocessing, *, name: str, fingerprint: str, scale: float
    ):
        text = getattr(model, "text", model)
        self.name = name
        self.fingerprint = fingerprint
        self.model = model
        self.kernels = kernels_of(model)
        self.device = cast(torch.device, text.positional_embedding.device)
        self.logit_scale = scale
        self.preprocessing = preprocessing.to_json()
        self._preprocessing = preprocessing
        self._tokenizer = tokenizer
        self._tokens: nn.Embedding = text.token_embedding
        self._tower = causal_tower(text)
        self.token_size = self._tokens.embedding_dim
        self.context_length = self._tower.positions.num_embeddings
        self.start, self.end = [int(tokenizer.sot_token_id)], [int(tokenizer.eot_token_id)]
        with torch.no_grad():
            self.feature_size = int(self.encode_prompts(self._empty_prompt()).shape[1])

    def preprocess(self, image: Image.Image) -> Tensor:
        return self._preprocessing.plain(image)

    def preprocess_crop(self, image: Image.Image, box: Box, flip: bool) -> Tensor:
        return self._preprocessing.view(image, box, flip)

    @torch.no_grad()
    def encode_images(self, pixels: Tensor) -> Tensor:
        features = self.model.encode_image(pixels.to(self.device, self._tower.dtype))
        return normalize(features.float(), dim=-1)

    def tokens(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text))

    def embed(self, ids: Sequence[int]) -> Tensor:
        return self._tokens.weight.detach()[torch.tensor(ids, dtype=torch.long, device=self.device)].float()

    def encode_prompts(self, prompts: Prompts) -> Tensor:
        return causal_text_pass(self._tower, prompts)

    def _empty_prompt(self) -> Prompts:
        return Prompts.of(self.embed([*self.start, *self.end])[None], torch.tensor([2]))


def load_open_clip(name: str, device: torch.device, dtype: torch.dtype, kernel: Kernel = "torch") -> OpenClipEncoder:
    """Load a frozen model of open_clip. See `srrs.models.frozen` for `kernel`.

    Raises
    ------
    MissingExtraError
        open_clip is not installed.
    ModelError
        open_clip has no such model; the weights are neither on disk nor reachable, or do not fit the architecture; or
        the text tower or the preprocessing is of a kind that is not supported.
    """
    open_clip = weights.import_open_clip(name)
    source = weights.find(open_clip, name)
    weights.check_text_tower(source.config, name)
    model = weights.load(open_clip, source, name).eval().requires_grad_(False)
    preprocessing = preprocessing_of(open_clip.get_model_preprocess_cfg(model), name)
    fingerprint = digest(model, json.dumps(source.config, sort_keys=True).encode(), preprocessing, dtype, kernel)
    scale = math.exp(model.logit_scale.item())
    tokenizer = open_clip.SimpleTokenizer()
    model = model.to(device=device, dtype=dtype)
    if kernel == "onednn-packed":
        pack(model)
    return OpenClipEncoder(model, tokenizer, preprocessing, name=name, fingerprint=fingerprint, scale=scale)


def preprocessing_of(settings: dict[str, Any], name: str) -> Preprocessing:
    """Return the preprocessing with these settings of open_clip. `name` is the name of the model for error messages.

    Raises
    ------
    ModelError
        The settings pad images, or do not cut a square.
    """
    size = settings["size"]
    height, width = (size, size) if isinstance(size, int) else size
    mode = settings["resize_mode"]
    if mode not in ("shortest", "squash") or (mode == "shortest" and height != width):
        raise ModelError(
            f"Expected preprocessing that squashes an image or cuts a square, but that of {name!r} has the resize "
            f"mode {mode!r} and the size {height} x {width}."
        )
    bilinear = settings["interpolation"] == "bilinear"
    return Preprocessing(
        resize=(height, width) if mode == "squash" else height,
        crop=(height, width) if mode == "shortest" else None,
        resample=int(Image.Resampling.BILINEAR if bilinear else Image.Resampling.BICUBIC),
        rescale=1 / 255,
        mean=tuple(map(float, settings["mean"])),
        std=tuple(map(float, settings["std"])),
        round_crop=mode == "shortest",
    )


class _Attention(NamedTuple):
    """The attention of a layer, with the attribute names of transformers."""

    q_proj: nn.Module
    k_proj: nn.Module
    v_proj: nn.Module
    out_proj: nn.Module
    num_heads: int
    head_dim: int
    scale: float


class _Layer(NamedTuple):
    """A layer, with the attribute names of transformers."""

    layer_norm1: nn.Module
    self_attn: _Attention
    layer_norm2: nn.Module
    mlp: nn.Module


def causal_tower(text: Any) -> CausalTower:
    """Return the text tower of open_clip as a `CausalTower`. The weights are not copied.

    `text` is a `TextTransformer`, or a `CLIP` that contains the parts of one.
    """
    packed = any(isinstance(module, FrozenLinear) for module in text.modules())

    def linear(weight: Tensor, bias: Tensor | None) -> nn.Module:
        layer = _linear(weight, bias)
        return FrozenLinear(layer) if packed else layer

    projection = text.text_projection
    if isinstance(projection, nn.Parameter):  # (W, D), multiplied from the right
        projection = linear(projection.T.contiguous(), None)
    positions = text.positional_embedding.detach()
    return CausalTower(
        nn.Embedding(positions.shape[0], positions.shape[1], _weight=positions, _freeze=True),
        [_layer(block, linear) for block in text.transformer.resblocks],
        text.ln_final,
        projection if projection is not None else nn.Identity(),
    )


def _layer(block: Any, linear: Callable[[Tensor, Tensor | None], nn.Module]) -> _Layer:
    """Return a layer with the attribute names of transformers. In open_clip, one matrix holds q, k and v weights."""
    attention: nn.MultiheadAttention = block.attn
    weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
    query, key, value = (linear(weight, bias) for weight, bias in zip(weights, biases, strict=True))
    return _Layer(
        block.ln_1,
        _Attention(
            query,
            key,
            value,
            nn.Sequential(linear(attention.out_proj.weight, attention.out_proj.bias), block.ls_1),
            attention.num_heads,
            attention.head_dim,
            attention.head_dim**-0.5,
        ),
        block.ln_2,
        nn.Sequential(block.mlp, block.ls_2),
    )


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """Return a linear layer that uses these tensors without a copy."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.detach(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return layer
