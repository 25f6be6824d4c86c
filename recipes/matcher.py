"""The image-text matcher: a small BLIP that says whether a picture shows what a caption says.

    python recipes/matcher.py DATA WORK

Its image side starts from the first layers of the dual encoder's (`towers.py`); what fits which caption it learns from
the labels and from the teacher, which says by how much a caption that is wrong is wrong. Continues from its checkpoint
in WORK. Writes WORK/matcher, a `BlipForImageTextRetrieval` in fp16.
"""

import argparse
import math
import time
from dataclasses import dataclass
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
from text import ClassWords, class_words, named_vectors
from towers import INPUT_PX, STUDENT, Student, Teacher

WIDTH, VOCABULARY, STEPS, PEAK = 128, 2000, 1600, 1e-3
VISION_LAYERS, TEXT_LAYERS = 4, 3
SHARE = {"tiny": 56, "caltech": 48, "development": 24}  # captioned pictures of each domain in a batch
WRONG = 3  # wrong captions of each picture, half of them what the teacher takes it for
TOLD = 0.5  # weight of the label; the rest is the teacher's
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
        hidden_size=STUDENT.hidden_size, intermediate_size=STUDENT.intermediate_size, num_hidden_layers=VISION_LAYERS,
        num_attention_heads=STUDENT.num_attention_heads, hidden_act=STUDENT.hidden_act, image_size=INPUT_PX,
        patch_size=STUDENT.patch_size,
    )  # fmt: skip
    text = BlipTextConfig(
        vocab_size=vocabulary, hidden_size=WIDTH, encoder_hidden_size=STUDENT.hidden_size, intermediate_size=3 * WIDTH,
        num_hidden_layers=TEXT_LAYERS, num_attention_heads=4, max_position_embeddings=64,
        bos_token_id=tok.cls_token_id, pad_token_id=tok.pad_token_id, sep_token_id=tok.sep_token_id,
        eos_token_id=tok.sep_token_id, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    parts = {"text_config": text.to_dict(), "vision_config": vision.to_dict()}
    return BlipForImageTextRetrieval(BlipConfig(**parts, projection_dim=WIDTH, image_text_hidden_size=WIDTH))


@torch.no_grad()
def start_from(model: BlipForImageTextRetrieval, student: Student) -> None:
    """Take over the student's first layers. Its norm before them, which BLIP lacks, goes into the embeddings as a
    linear map: centred, and scaled by the mean token's deviation instead of each token's own."""
    old, new = student.tower, model.vision_model
    tokens, norm = old.embeddings.position_embedding.weight, old.pre_layrnorm
    patches = old.embeddings.patch_embedding.weight  # (D, 3, P, P)
    pixels = torch.randn(64, 3, INPUT_PX, INPUT_PX)
    deviation = old.embeddings(pixels)[:, 1:].std(-1).mean()
    scale = norm.weight / deviation
    new.embeddings.patch_embedding.weight.copy_((patches - patches.mean(0)) * scale[:, None, None, None])
    new.embeddings.patch_embedding.bias.zero_()
    cls = old.embeddings.class_embedding
    new.embeddings.class_embedding.copy_((cls - cls.mean()) * scale)
    new.embeddings.position_embedding.copy_((tokens - tokens.mean(1, keepdim=True)) * scale + norm.bias)
    for theirs, ours in zip(old.encoder.layers, new.encoder.layers, strict=False):
        attention = theirs.self_attn
        heads = (attention.q_proj, attention.k_proj, attention.v_proj)
        ours.self_attn.qkv.weight.copy_(torch.cat([h.weight for h in heads]))
        ours.self_attn.qkv.bias.copy_(torch.cat([h.bias for h in heads]))
        ours.self_attn.projection.load_state_dict(attention.out_proj.state_dict())
        ours.layer_norm1.load_state_dict(theirs.layer_norm1.state_dict())
        ours.layer_norm2.load_state_dict(theirs.layer_norm2.state_dict())
        ours.mlp.load_state_dict(theirs.mlp.state_dict())


@dataclass(frozen=True)
class Batch:
    """Pictures of all domains, and the captions to judge each by."""

    pictures: Tensor  # (B, 3, 48, 48)
    captions: list[str]  # B * (1 + WRONG): the right ones of all pictures, then the first wrong ones, ...
    names: np.ndarray  # (B,) class names
    target: Tensor  # (B * (1 + WRONG),) how far each caption fits, in 0..1
    features: Tensor  # (B, 384) the teacher's


class Batches:
    """Draws batches by the step, so that a resumed run sees the same ones."""

    def __init__(self, data: Path, work: Path):
        self.pixels, domain, self.label, _ = load(data, work / "pixels")
        self.rows = {d: np.flatnonzero(domain == d) for d in SHARE}
        self.words = class_words(data)
        self.teacher = Teacher()
        self.teacher.load_state_dict(load_file(work / "teacher.safetensors"))
        self.teacher.eval().to(memory_format=torch.channels_last)

    def __call__(self, step: int) -> Batch:
        rng, generator = np.random.default_rng([77, step]), torch.Generator().manual_seed(step)
        rows = {d: rng.choice(self.rows[d], share) for d, share in SHARE.items()}
        pixels = torch.from_numpy(self.pixels[np.concatenate(list(rows.values()))])
        style = random_styles(len(pixels), generator, share=0.1)
        pictures = normalise(stylise(crop(pixels, generator, scale=(0.4, 1.0)), style))
        with torch.no_grad():
            features = self.teacher.features(pictures)
        of_domain = dict(zip(SHARE, features.split(list(SHARE.values())), strict=True))
        judged = [self._judge(d, self.label[rows[d]], of_domain[d], rng) for d in SHARE]
        target = np.concatenate([j[1] for j in judged], 1)  # (1 + WRONG, B)
        words = [[self.words[d][c] for c in row] for d, j in zip(SHARE, judged, strict=True) for row in j[0].T]
        described = rng.random() < 0.25  # all or none, lest the short ones be padded
        captions = [caption(row[k], described, rng) for k in range(1 + WRONG) for row in words]
        names = np.array([row[0].name for row in words])
        return Batch(pictures, captions, names, torch.from_numpy(target.ravel()).float(), features)

    def _judge(self, domain: str, label: np.ndarray, features: Tensor, rng: np.random.Generator) -> tuple:
        """The classes named by each picture's captions (1 + WRONG, n), the right one first, and how far they fit."""
        with torch.no_grad():
            belief = self.teacher.heads[domain](features).double().softmax(1).numpy()
        count, chosen = belief.shape[1], [label]
        for k in range(WRONG):
            other = (label + rng.integers(1, count, len(label))) % count
            if k % 2 == 0:
                taken = np.array([rng.choice(count, p=p / p.sum()) for p in belief])
                other = np.where(taken == label, other, taken)
            chosen.append(other)
        classes = np.stack(chosen)
        p = np.take_along_axis(belief.T, classes, 0)
        odds = p / (p + (1 - p) / (count - 1))  # of right, where right and wrong captions are as frequent
        right = np.zeros(classes.shape)
        right[0] = 1
        return classes, TOLD * right + (1 - TOLD) * odds


def caption(words: ClassWords, described: bool, rng: np.random.Generator) -> str:
    name = str(rng.choice([words.name, words.name, *words.others]))
    if described:
        return DESCRIBED.format(name, words.description)
    return str(rng.choice(TEMPLATES)).format(name)


def match_loss(model: BlipForImageTextRetrieval, states: Tensor, ids: dict[str, Tensor], target: Tensor) -> Tensor:
    """Every caption against its picture through the fusion encoder; the wrong ones weigh as much as the right."""
    every = states.repeat(1 + WRONG, 1, 1)
    fused = model.text_encoder(
        input_ids=ids["input_ids"], attention_mask=ids["attention_mask"], encoder_hidden_states=every,
        encoder_attention_mask=torch.ones(every.shape[:2], dtype=torch.long),
    ).last_hidden_state  # fmt: skip
    log_p = F.log_softmax(model.itm_head(fused[:, 0]), 1)
    loss = -(target * log_p[:, 1] + (1 - target) * log_p[:, 0]).view(1 + WRONG, -1).mean(1)
    return loss[0] + loss[1:].mean()


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
    model, batches, student = blip(len(tok), tok), Batches(data, work), Student()
    student.load_state_dict(load_file(work / "student.safetensors"))
    start_from(model, student)
    to_teacher = nn.Linear(STUDENT.hidden_size, 384)
    parts = nn.ModuleDict({"model": model, "to_teacher": to_teacher})
    optimiser = torch.optim.AdamW(parts.parameters(), lr=PEAK, weight_decay=0.05, betas=(0.9, 0.98))
    checkpoint, first = work / "matcher.checkpoint", 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        parts.load_state_dict(saved["parts"])
        optimiser.load_state_dict(saved["optimiser"])
        first = saved["step"]
    started = time.time()
    for step in range(first, STEPS):
        for group in optimiser.param_groups:
            group["lr"] = PEAK * min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        batch = batches(step)
        states = model.vision_model(pixel_values=batch.pictures).last_hidden_state
        ids = tok(batch.captions, return_tensors="pt", padding=True)
        same = torch.from_numpy(batch.names[:, None] == batch.names[None])
        matched = match_loss(model, states, ids, batch.target)
        near = batch.features - batch.features.mean(0)
        distilled = 1 - F.cosine_similarity(to_teacher(states[:, 0]), near).mean()
        loss = 2 * matched + 2 * distilled + 0.3 * contrast_loss(model, states, ids, same)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parts.parameters(), 1.0)
        optimiser.step()
        if step % 100 == 99 or step == STEPS - 1:
            took = time.time() - started
            print(f"matcher {step + 1}/{STEPS} {matched.item():.3f} {distilled.item():.3f} {took:.0f} s", flush=True)
            state = {"parts": parts.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1}
            torch.save(state, checkpoint)
    save(model, tok, work / "matcher")


def save(model: BlipForImageTextRetrieval, tok: BertTokenizer, folder: Path) -> None:
    square = {"height": INPUT_PX, "width": INPUT_PX}
    model.half().save_pretrained(folder)
    tok.save_pretrained(folder)
    BlipImageProcessorPil(size=square, image_mean=MEAN, image_std=STD).save_pretrained(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    arguments = parser.parse_args()
    train(arguments.data, arguments.work)
