"""A CLIP of open_clip as a `VisionLanguage`, with the exact text pass of `textpass`.

The name is `open_clip:ARCHITECTURE/PRETRAINED`, such as `open_clip:RN50/openai`. In place of PRETRAINED may stand a
checkpoint, or a folder that holds one; and `open_clip:FOLDER` is a folder that open_clip wrote, with its configuration.

Only CLIP's own kind of text tower is taken: causal, read at the end token, with CLIP's tokenizer. The others that
open_clip knows (SigLIP, CLIPA, CoCa, towers of transformers) are refused before anything is fetched.

W token width, D feature size.
"""

import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from textwrap import shorten
from typing import Any, NamedTuple, cast

import torch
from huggingface_hub import try_to_load_from_cache
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import normalize

from srrs.errors import MissingExtraError, ModelError
from srrs.models.base import Prompts
from srrs.models.fingerprint import digest
from srrs.models.frozen import FrozenLinear, Kernel, kernels_of, pack
from srrs.models.preprocess import Box, Preprocessing
from srrs.models.reach import is_reachable
from srrs.models.textpass import CausalTower, causal_text_pass

PREFIX = "open_clip:"
CONFIG = "open_clip_config.json"
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
ENDINGS = ", ".join(f"*{suffix}" for suffix in SUFFIXES)
HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""What open_clip's weights are called on the hub unless it says otherwise."""
PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")

OTHER_TOWERS = {
    "hf_model_name": "is one of transformers",
    "embed_cls": "is read at a token of its own",
    "no_causal_mask": "is not causal",
    "hf_tokenizer_name": "has a tokenizer of its own",
    "qk_norm": "normalizes queries and keys",
    "scaled_cosine_attn": "attends by cosine",
    "scale_heads": "scales its heads",
    "scale_attn_inner": "normalizes inside its attention",
    "scale_attn": "normalizes behind its attention",
    "scale_fc": "normalizes inside its MLP",
}
"""Settings of a text tower, and what they make of it."""


@dataclass(frozen=True)
class Source:
    """What a name stands for: weights on disk, or those that open_clip knows by a tag."""

    architecture: str
    """As open_clip is told it: one of its own, or `local-dir:FOLDER`."""
    config: dict[str, Any]
    weights: Path | None = None
    tag: dict[str, Any] = field(default_factory=dict)
    """open_clip's entry of the weights: where they are and how their pictures were prepared."""


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


def is_open_clip(name: str) -> bool:
    return name.startswith(PREFIX)


def absolute_open_clip(name: str) -> str:
    """The name with the path in it, if there is one, in full."""
    source = name.removeprefix(PREFIX)
    if (Path(source) / CONFIG).is_file():
        return PREFIX + str(Path(source).resolve())
    architecture, _, pretrained = source.partition("/")
    if pretrained and Path(pretrained).exists():
        return f"{PREFIX}{architecture}/{Path(pretrained).resolve()}"
    return name


def load_open_clip(name: str, device: torch.device, dtype: torch.dtype, kernel: Kernel = "torch") -> OpenClipEncoder:
    """A frozen model of open_clip, ready to encode.

    Raises
    ------
    MissingExtraError
        If open_clip is not installed.
    ModelError
        If there is no such model, its weights are neither on disk nor reachable or do not fit, or its text tower or
        its preprocessing is of a kind that cannot be used.
    """
    open_clip = _import(name)
    source = _find(open_clip, name)
    _check_text_tower(source.config, name)
    model = _load(open_clip, source, name).eval().requires_grad_(False)
    preprocessing = preprocessing_of(open_clip.get_model_preprocess_cfg(model), name)
    fingerprint = digest(model, json.dumps(source.config, sort_keys=True).encode(), preprocessing, dtype, kernel)
    scale = math.exp(model.logit_scale.item())
    tokenizer = open_clip.SimpleTokenizer()
    model = model.to(device=device, dtype=dtype)
    if kernel == "onednn-packed":
        pack(model)
    return OpenClipEncoder(model, tokenizer, preprocessing, name=name, fingerprint=fingerprint, scale=scale)


def preprocessing_of(settings: dict[str, Any], name: str) -> Preprocessing:
    """open_clip's preprocessing settings as ours.

    Raises
    ------
    ModelError
        If pictures are padded, or cut to another shape than a square.
    """
    size = settings["size"]
    height, width = (size, size) if isinstance(size, int) else size
    mode = settings["resize_mode"]
    if mode not in ("shortest", "squash") or (mode == "shortest" and height != width):
        raise ModelError(
            f"Expected preprocessing that squashes a picture or cuts a square, but that of {name!r} has the resize "
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
    q_proj: nn.Module
    k_proj: nn.Module
    v_proj: nn.Module
    out_proj: nn.Module
    num_heads: int
    head_dim: int
    scale: float


class _Layer(NamedTuple):
    layer_norm1: nn.Module
    self_attn: _Attention
    layer_norm2: nn.Module
    mlp: nn.Module


def causal_tower(text: Any) -> CausalTower:
    """open_clip's text tower under the names of transformers, on the same memory.

    `text` is a `TextTransformer`, or the `CLIP` that holds the parts of one.
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
    """Queries, keys and values are thirds of one matrix there; the layer scales are the identity in most models."""
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
    """A linear layer on these very numbers."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.detach(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return layer


def _import(name: str) -> Any:
    try:
        with _quiet():
            import open_clip
    except ModuleNotFoundError as error:
        if error.name != "open_clip":
            raise ModelError(f"open_clip is installed, but lacks the package {error.name}.") from error
        raise MissingExtraError("open_clip_torch", "open-clip", f"The model {name!r}") from None
    except (ImportError, RuntimeError) as error:  # a torchvision built for another torch
        raise ModelError(
            f"open_clip is installed, but cannot be imported: {_brief(error)}. "
            "Its torchvision must be made for the torch beside it: install both together from one index."
        ) from error
    return open_clip


def _find(open_clip: Any, name: str) -> Source:
    source = name.removeprefix(PREFIX)
    if (Path(source) / CONFIG).is_file():
        _weights_in(Path(source), name)
        return Source(f"local-dir:{source}", _read_config(Path(source) / CONFIG, name))
    architecture, _, pretrained = source.partition("/")
    config = open_clip.get_model_config(architecture)
    if config is None:
        close = get_close_matches(architecture, open_clip.list_models(), 3, 0.4)
        raise ModelError(
            f"Expected {PREFIX}ARCHITECTURE/PRETRAINED, but open_clip knows no architecture {architecture!r} and there "
            f"is no folder {source!r} that holds {CONFIG}. Did you mean {' or '.join(close) or 'RN50'}?"
        )
    path = Path(pretrained)
    if pretrained and path.is_dir():
        if (path / CONFIG).is_file():
            raise ModelError(f"The folder '{path}' says itself what model it holds: give {PREFIX}{path}.")
        return Source(architecture, config, weights=_weights_in(path, name))
    if pretrained and path.is_file():
        return Source(architecture, config, weights=path)
    tag = open_clip.get_pretrained_cfg(architecture, pretrained)
    if not tag:
        known = ", ".join(open_clip.list_pretrained_tags_by_model(architecture)) or "none"
        raise ModelError(
            f"Expected weights of {architecture} behind the slash, but found {pretrained!r}: give a checkpoint's path, "
            f"or one of those that open_clip knows: {known}."
        )
    # Weights were trained with one activation; open_clip would run OpenAI's RN50 with the other and only warn.
    return Source(architecture, config | {"quick_gelu": bool(tag.get("quick_gelu"))}, tag=tag)


def _weights_in(folder: Path, name: str) -> Path:
    """The one checkpoint of a folder, safetensors before others."""
    found = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    safe = [path for path in found if path.suffix == ".safetensors"]
    if not found:
        raise ModelError(
            f"The model {name!r} lacks weights: no file {', '.join('*' + s for s in SUFFIXES)} in {folder}."
        )
    if len(safe or found) > 1:
        raise ModelError(
            f"Expected one checkpoint in {folder}, but found {', '.join(p.name for p in safe or found)}: name the file."
        )
    return (safe or found)[0]


def _read_config(path: Path, name: str) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))["model_cfg"]
        return {**config, "text_cfg": dict(config["text_cfg"])}
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"Expected a configuration of open_clip with model_cfg and its text_cfg in {path} of the model {name!r}, "
            f"but it cannot be read: {type(error).__name__} {error}"
        ) from error


def _check_text_tower(config: dict[str, Any], name: str) -> None:
    text = config["text_cfg"]
    found = [what for setting, what in OTHER_TOWERS.items() if text.get(setting)]
    if text.get("block_type", "default") not in (None, "default"):
        found.append(f"has blocks of the type {text['block_type']}")
    if text.get("pool_type", "argmax") != "argmax":
        found.append("is not read at the end token")
    if found:
        raise ModelError(
            f"srrs takes open_clip's models with CLIP's own text tower, but the one of {name!r} {', '.join(found)}. "
            "SigLIP and models with towers of transformers can be loaded by their transformers name instead."
        )


def _load(open_clip: Any, source: Source, name: str) -> Any:
    weights = source.weights
    if source.tag:
        weights = _fetch(open_clip, source.tag, name)
    if weights is not None and weights.suffix not in SUFFIXES:
        raise ModelError(f"Expected a checkpoint {ENDINGS}, but found {weights}.")
    try:
        with _quiet():
            return open_clip.create_model(
                source.architecture,
                pretrained=str(weights) if weights else None,
                force_quick_gelu=bool(source.config.get("quick_gelu")),
                force_preprocess_cfg={key: source.tag[key] for key in PREPROCESSING if key in source.tag},
                require_pretrained=True,
                weights_only=True,
            )
    except Exception as error:  # a broken checkpoint may raise anything
        problem = _brief(error)
        if "TorchScript" in problem:
            problem = "it is a TorchScript archive, which holds code. Save its state_dict() as safetensors first."
        raise ModelError(f"The weights of {name!r} cannot be loaded: {problem}") from error


def _fetch(open_clip: Any, tag: dict[str, Any], name: str) -> Path:
    """The file of known weights: from the hub's cache, else fetched as open_clip does."""
    repository, _, file = tag.get("hf_hub", "").rpartition("/")
    for known in [str(Path(file).with_suffix(".safetensors")), file] if file else HUB_FILES:
        cached = try_to_load_from_cache(repository, known) if repository else None
        if isinstance(cached, str):
            return Path(cached)
    problem = "the hub does not answer"
    if not repository or is_reachable(repository):
        try:
            with _quiet():
                return Path(open_clip.pretrained.download_pretrained(tag))
        except Exception as error:  # the hub's and the network's errors share no root
            problem = _brief(error)
    raise ModelError(
        f"The weights of {name!r} are neither on disk nor reachable ({problem}): give the path of a checkpoint in "
        "place of their name."
    )


def _brief(error: BaseException) -> str:
    """What an error says, on one line and not at length."""
    return shorten(str(error), 200, placeholder=" ...") or type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Without open_clip's remarks, which go through the root logger and would give it a handler for good."""
    root, before = logging.getLogger(), logging.root.manager.disable
    handler = logging.NullHandler()
    root.addHandler(handler)
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        root.removeHandler(handler)
