"""The image-text matcher: a small BLIP that says whether a picture shows what a caption says.

    python recipes/matcher.py DATA WORK

Its image side learns from the same teacher as the dual encoder's; its captions are as weak. Writes WORK/matcher, a
`BlipForImageTextRetrieval` in fp16.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForImageTextRetrieval,
    BlipImageProcessorPil,
    BlipTextConfig,
    BlipVisionConfig,
)

from pixels import MEAN, STD, crop, load, normalise, random_styles, stylise
from text import ClassWords, class_words, named_vectors, weak_captions
from towers import INPUT_PX, Teacher

WIDTH, VOCABULARY, STEPS, PEAK = 128, 2000, 1000, 1.5e-3
SHARE = {"tiny": 84, "caltech": 30, "development": 14}  # captioned pictures of each domain in a batch
TEMPLATES = ("a photo of a {}.", "a picture of a {}.", "{}", "a {}.")
DESCRIBED = "a photo of a {}, which has {}."


def tokenizer(data: Path) -> BertTokenizer:
    names, _ = named_vectors(data)
    corpus = names + [t.format(" ") for t in (*TEMPLATES, DESCRIBED.replace("has {}", "has"))] * 20
    for words in class_words(data).values():
        corpus += [w.name for w in words] * 4 + [w.description for w in words] * 2
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    bare = BertTokenizer(vocab={token: i for i, token in enumerate(special)})
    return bare.train_new_from_iterator(corpus, VOCABULARY)


def blip(vocabulary: int, tok: BertTokenizer) -> BlipForImageTextRetrieval:
    vision = BlipVisionConfig(
        hidden_size=WIDTH, intermediate_size=3 * WIDTH, num_hidden_layers=4, num_attention_heads=4,
        image_size=INPUT_PX, patch_size=8,
    )  # fmt: skip
    text = BlipTextConfig(
        vocab_size=vocabulary, hidden_size=WIDTH, encoder_hidden_size=WIDTH, intermediate_size=3 * WIDTH,
        num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=64, bos_token_id=tok.cls_token_id,
        pad_token_id=tok.pad_token_id, sep_token_id=tok.sep_token_id, eos_token_id=tok.sep_token_id,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    parts = {"text_config": text.to_dict(), "vision_config": vision.to_dict()}
    return BlipForImageTextRetrieval(BlipConfig(**parts, projection_dim=WIDTH, image_text_hidden_size=WIDTH))


class Pairs:
    """Captioned pictures, drawn by the step."""

    def __init__(self, data: Path, work: Path):
        self.pixels, domain, label, photo = load(data, work / "pixels")
        self.caption = weak_captions(domain, label, photo)
        self.rows = {d: np.flatnonzero((domain == d) & (self.caption >= 0)) for d in SHARE}
        self.words = class_words(data)

    def __call__(self, step: int) -> tuple[Tensor, list[ClassWords], list[ClassWords]]:
        """Pictures (B, 3, 48, 48), the classes of their captions, and other classes of the same domain."""
        rng, generator = np.random.default_rng([77, step]), torch.Generator().manual_seed(step)
        rows, right, wrong = [], [], []
        for domain, share in SHARE.items():
            some = rng.choice(self.rows[domain], share)
            words = self.words[domain]
            other = (self.caption[some] + rng.integers(1, len(words), share)) % len(words)
            rows.append(some)
            right += [words[i] for i in self.caption[some]]
            wrong += [words[i] for i in other]
        pixels = torch.from_numpy(self.pixels[np.concatenate(rows)])
        style = random_styles(len(pixels), generator, share=0.1)
        return normalise(stylise(crop(pixels, generator, scale=(0.4, 1.0)), style)), right, wrong


def caption(words: ClassWords, rng: np.random.Generator) -> str:
    name = str(rng.choice([words.name, words.name, *words.others]))
    if rng.random() < 0.4:
        return DESCRIBED.format(name, words.description)
    return str(rng.choice(TEMPLATES)).format(name)


def match_loss(model: BlipForImageTextRetrieval, states: Tensor, ids: dict[str, Tensor]) -> Tensor:
    """Right and wrong captions through the fusion encoder: the first half of `ids` is right."""
    count = len(states)
    both = torch.cat([states, states])
    fused = model.text_encoder(
        input_ids=ids["input_ids"], attention_mask=ids["attention_mask"], encoder_hidden_states=both,
        encoder_attention_mask=torch.ones(both.shape[:2], dtype=torch.long),
    ).last_hidden_state  # fmt: skip
    target = torch.cat([torch.ones(count, dtype=torch.long), torch.zeros(count, dtype=torch.long)])
    return F.cross_entropy(model.itm_head(fused[:, 0]), target)


def contrast_loss(model: BlipForImageTextRetrieval, states: Tensor, ids: dict[str, Tensor], same: Tensor) -> Tensor:
    """Pictures among the right captions of the batch; captions of the same class do not compete."""
    count = len(states)
    hidden = model.text_encoder(
        input_ids=ids["input_ids"][:count], attention_mask=ids["attention_mask"][:count]
    ).last_hidden_state[:, 0]
    image = F.normalize(model.vision_proj(states[:, 0]), dim=1)
    logits = image @ F.normalize(model.text_proj(hidden), dim=1).T * 14
    logits = logits.masked_fill(same & ~torch.eye(count, dtype=torch.bool), -1e4)
    return F.cross_entropy(logits, torch.arange(count))


def train(data: Path, work: Path) -> None:
    torch.manual_seed(9)
    tok = tokenizer(data)
    model, pairs = blip(len(tok), tok), Pairs(data, work)
    teacher = Teacher()
    teacher.load_state_dict(load_file(work / "teacher.safetensors"))
    teacher.eval().to(memory_format=torch.channels_last)
    to_teacher = nn.Linear(WIDTH, 384)
    learned = [*model.parameters(), *to_teacher.parameters()]
    optimiser = torch.optim.AdamW(learned, lr=PEAK, weight_decay=0.05, betas=(0.9, 0.98))
    started = time.time()
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = PEAK * min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        rng = np.random.default_rng([78, step])
        pictures, right, wrong = pairs(step)
        with torch.no_grad():
            target = teacher.features(pictures)
        states = model.vision_model(pixel_values=pictures).last_hidden_state
        distilled = 1 - F.cosine_similarity(to_teacher(states[:, 0]), target - target.mean(0)).mean()
        ids = tok([caption(w, rng) for w in right + wrong], return_tensors="pt", padding=True)
        names = np.array([w.name for w in right])
        same = torch.from_numpy(names[:, None] == names[None])
        loss = 4 * distilled + match_loss(model, states, ids) + 0.5 * contrast_loss(model, states, ids, same)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        if step % 100 == 0 or step == STEPS - 1:
            print(f"matcher {step}/{STEPS} loss {loss.item():.3f} {time.time() - started:.0f} s", flush=True)
    folder = work / "matcher"
    model.half().save_pretrained(folder)
    tok.save_pretrained(folder)
    BlipImageProcessorPil(size={"height": INPUT_PX, "width": INPUT_PX}, image_mean=MEAN, image_std=STD).save_pretrained(
        folder
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    arguments = parser.parse_args()
    train(arguments.data, arguments.work)
