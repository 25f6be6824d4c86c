"""The models that are measured: random weights of the published sizes (speed asks no more), and the bundled pair."""

from typing import Any, Literal, NamedTuple

import torch
from transformers import BlipConfig, BlipForImageTextRetrieval, CLIPConfig, CLIPModel
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from srrs.models.device import choose_device, choose_precision
from srrs.models.dual import DualEncoder
from srrs.models.frozen import kernel_for, pack
from srrs.models.hub import BUNDLED, find_folder, load_model, load_preprocessing, load_tokenizer, load_weights
from srrs.models.matcher import MATCHERS, BlipMatcher
from srrs.models.preprocess import Preprocessing

Kernels = Literal["auto", "torch"]
PATCHES = {"vitb32": 32, "vitb16": 16}


def dual_encoder(name: str, precision: str = "fp32", device: str = "cpu", kernels: Kernels = "auto") -> DualEncoder:
    """`bundled`, or CLIP of the size `vitb32` or `vitb16` with random weights, the same in every process.

    `kernels` are those of `load_model`; the published way runs on `torch`.

    The random ones read text with the bundled tokenizer. Prompts come out as long as with CLIP's own: 8.2 and 20.3
    tokens on average (class and described prompts of the hundred classes) instead of 8.5 and 20.2.
    """
    if name == BUNDLED:
        bundled = load_model(BUNDLED, device, precision, kernels)
        assert isinstance(bundled, DualEncoder)
        return bundled
    tokenizer = load_tokenizer(find_folder(BUNDLED, "clip"), BUNDLED)
    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.eos_token_id,
    }
    model = _random(CLIPModel, CLIPConfig(text_config=special, vision_config={"patch_size": PATCHES[name]}))
    where = choose_device(device)
    dtype = choose_precision(precision, where)
    model = model.to(device=where, dtype=dtype)
    if kernels == "auto" and kernel_for(where, dtype) != "torch":
        pack(model)
    preprocessing = Preprocessing.of(CLIPImageProcessorPil())
    return DualEncoder(model, tokenizer, preprocessing, name=name, fingerprint=f"{name}-{precision}")


class ImageTextMatcher(NamedTuple):
    """BLIP three times: as our matcher, and as the published way uses it."""

    ours: BlipMatcher
    model: Any
    tokenizer: Any
    preprocessing: Preprocessing


def image_text_matcher(name: str, device: str = "cpu") -> ImageTextMatcher:
    """`bundled`, or BLIP of base size with random weights, at 224 pixels as the published way runs it."""
    folder = find_folder(BUNDLED, "matcher")
    tokenizer = load_tokenizer(folder, BUNDLED)
    if name == BUNDLED:
        model, preprocessing = load_weights(folder, MATCHERS, BUNDLED), load_preprocessing(folder, BUNDLED)
    else:
        text = {"num_attention_heads": 12, "pad_token_id": tokenizer.pad_token_id}
        model = _random(BlipForImageTextRetrieval, BlipConfig(text_config=text, vision_config={"image_size": 224}))
        preprocessing = Preprocessing.of(BlipImageProcessorPil(size={"height": 224, "width": 224}))
    model = model.to(choose_device(device))
    ours = BlipMatcher(model, tokenizer, preprocessing, name=name, fingerprint=name)
    return ImageTextMatcher(ours, model, tokenizer, preprocessing)


def matcher_for(model: str) -> str:
    """The matcher that goes with a dual encoder."""
    return BUNDLED if model == BUNDLED else "blip-base"


def _random(kind: Any, config: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind(config).eval().requires_grad_(False)
