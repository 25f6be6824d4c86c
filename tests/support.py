"""Tiny random models, saved to a folder as the hub has them: weights, tokenizer and preprocessing."""

import json
import logging
import warnings
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertModel,
    BlipConfig,
    BlipForImageTextRetrieval,
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipModel,
    VisionTextDualEncoderModel,
    ViTConfig,
    ViTModel,
)
from transformers.utils import logging as hf_logging

hf_logging.disable_progress_bar()
logging.getLogger("transformers").setLevel(logging.ERROR)

CORPUS = [
    "a photo of a cat .",
    "a photo of a dog , which has floppy ears .",
    "a bad photo of the sea horse",
    "grand piano , inline skate , red comb , two legs",
    "which has long whiskers and a tail",
]
MEAN, STD = [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def tiny_clip(
    folder: Path, *, act: str = "quick_gelu", legacy: bool = False, image_size: int = 32, seed: int = 0, layers: int = 2
) -> Path:
    """A `CLIPModel` with 77 positions; `legacy` pools at the highest token id, as the first checkpoints do."""
    tokenizer = clip_tokenizer()
    small = SMALL | {"hidden_act": act, "num_hidden_layers": layers}
    text = small | {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 77,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": 2 if legacy else tokenizer.eos_token_id,
    }
    vision = small | {"image_size": image_size, "patch_size": image_size // 4}
    torch.manual_seed(seed)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=24))
    preprocessing = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": image_size},
        "crop_size": {"height": image_size, "width": image_size},
    }
    return _save(folder, model, tokenizer, preprocessing)


def tiny_siglip(folder: Path, *, image_size: int = 32, seed: int = 0) -> Path:
    """A `SiglipModel`: not causal, padded to 16 positions, pooled at the last."""
    tokenizer = word_tokenizer("siglip")
    small = SMALL | {"hidden_act": "gelu_pytorch_tanh"}
    text = small | {"vocab_size": len(tokenizer), "max_position_embeddings": 16, "projection_size": 32}
    torch.manual_seed(seed)
    model = SiglipModel(
        SiglipConfig(text_config=text, vision_config=small | {"image_size": image_size, "patch_size": 8})
    )
    return _save(folder, model, tokenizer, _square("SiglipImageProcessor", image_size))


def tiny_dual(folder: Path, *, text: str = "bert", image_size: int = 32, seed: int = 0) -> Path:
    """A `VisionTextDualEncoderModel` of a ViT and a text tower, `bert` or `clip`."""
    torch.manual_seed(seed)
    vision = ViTModel(ViTConfig(**SMALL, image_size=image_size, patch_size=8))
    tokenizer: PreTrainedTokenizerFast | CLIPTokenizer
    if text == "bert":
        tokenizer = word_tokenizer("bert")
        tower: PreTrainedModel = BertModel(BertConfig(**SMALL, vocab_size=len(tokenizer), max_position_embeddings=40))
    else:
        tokenizer = clip_tokenizer()
        tower = CLIPTextModel(
            CLIPTextConfig(
                **SMALL,
                vocab_size=len(tokenizer),
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
            )
        )
    model = VisionTextDualEncoderModel(vision_model=vision, text_model=tower)
    return _save(folder, model, tokenizer, _square("ViTImageProcessor", image_size))


def tiny_blip(folder: Path, *, image_size: int = 32, seed: int = 0) -> Path:
    """A `BlipForImageTextRetrieval`, with dropout in its configuration as the published one."""
    tokenizer = word_tokenizer("bert")
    text = SMALL | {
        "vocab_size": len(tokenizer),
        "encoder_hidden_size": 32,
        "max_position_embeddings": 40,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.cls_token_id,
        "sep_token_id": tokenizer.sep_token_id,
        "eos_token_id": tokenizer.sep_token_id,
    }
    vision = SMALL | {"image_size": image_size, "patch_size": 8, "initializer_range": 0.05}
    torch.manual_seed(seed)
    model = BlipForImageTextRetrieval(BlipConfig(text_config=text, vision_config=vision, image_text_hidden_size=16))
    return _save(folder, model, tokenizer, _square("BlipImageProcessor", image_size))


def clip_tokenizer() -> CLIPTokenizer:
    """CLIP's byte-level BPE with `</w>` at word ends, trained on the corpus; the end token has the highest id."""
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=400, end_of_word_suffix="</w>", show_progress=False))
    learned = json.loads(bpe.to_str())["model"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(f"{x}</w>" for x in letters), *learned["vocab"], "<|startoftext|>", "<|endoftext|>"]
    vocab = {word: i for i, word in enumerate(dict.fromkeys(words))}
    return CLIPTokenizer(vocab=vocab, merges=[tuple(m) for m in learned["merges"]], model_max_length=77)


def word_tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """One token per word of the corpus or per letter: `siglip` ends with </s>, `bert` has [CLS] and [SEP]."""
    special = ["<pad>", "<unk>", "</s>"] if kind == "siglip" else ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = sorted({word for line in CORPUS for word in line.split()})
    letters = [mark + letter for letter in "abcdefghijklmnopqrstuvwxyz0123456789" for mark in ("", "##")]
    vocab = {word: i for i, word in enumerate(dict.fromkeys([*special, *words, *letters]))}
    backend = Tokenizer(models.WordPiece(vocab, unk_token=special[1]))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    end = (special[-1], vocab[special[-1]])
    if kind == "siglip":
        backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[end])
        names = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "</s>"}
        return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=16, **names)
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocab["[CLS]"]), end]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=40, **names)


def _square(processor: str, size: int) -> dict[str, object]:
    return {"image_processor_type": processor, "size": {"height": size, "width": size}, "resample": 3}


def _save(folder: Path, model: PreTrainedModel, tokenizer: object, preprocessing: dict[str, object]) -> Path:
    with torch.no_grad():  # a fresh model barely tells its inputs apart; wider weights make differences visible
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.mul_(3.0)
            elif "norm" not in name.lower() and weight.ndim == 1:
                weight.add_(torch.randn_like(weight) * 0.05)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.eval().save_pretrained(folder)
        tokenizer.save_pretrained(folder)  # type: ignore[attr-defined]
    common = {"image_mean": MEAN, "image_std": STD, "do_resize": True, "do_normalize": True, "do_rescale": True}
    (Path(folder) / "preprocessor_config.json").write_text(json.dumps(preprocessing | common))
    return Path(folder)
