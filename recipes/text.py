"""The text tower: learns to name what the frozen image tower sees, with knowledge that is real but imperfect.

    python recipes/text.py DATA WORK

The image tower's features are strong; the *names* are made weak on purpose, as CLIP's are on the data sets of the
paper: only few captions of the Caltech and development classes are given, a share of them names the wrong class, others
use another word. Names nobody captions are drawn towards CLIP's own text vectors. Captions tell the style of a
picture, so that the context of a prompt moves the classes. Writes WORK/clip, a `CLIPModel` in fp16.
"""

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTextConfig, CLIPTokenizer

from pixels import MEAN, STD, STYLES, crop, load, normalise, plain, random_styles, stylise
from splits import caltech_names, development_ids, tiny_classes
from towers import INPUT_PX, STUDENT, Student

WIDTH, LAYERS, VOCABULARY = 160, 6, 3000
STEPS, BATCH, PEAK = 700, 512, 1.5e-3
VIEWS = 3  # of each picture
CANDIDATES = 80  # classes of a domain that compete in one step
WRONG, OTHER_WORDS, CAPTIONED = (
    0.25,
    0.3,
    16,
)  # share of wrong captions, of other words; captioned photos per weak class
STYLE_WORDS = {
    "photo": ["a photo of a {}.", "a picture of a {}.", "a good photo of a {}.", "an image of the {}.", "a {}."],
    "blurred": ["a blurred photo of a {}.", "a blurry picture of a {}."],
    "dark": ["a dark photo of a {}.", "a {} at night."],
    "negative": ["a negative of a {}.", "an inverted photo of a {}."],
    "grey": ["a grey photo of a {}.", "a black and white photo of a {}."],
    "pixelated": ["a pixelated photo of a {}.", "a low resolution photo of a {}."],
    "bright": ["a bright photo of a {}.", "a washed out photo of a {}."],
    "drawing": ["a drawing of a {}.", "a sketch of a {}."],
}
DOMAINS = ("tiny", "caltech", "development")
DESCRIBED = "a photo of a {}, which has {}."


@dataclass(frozen=True)
class ClassWords:
    name: str
    others: list[str]
    description: str


def class_words(data: Path) -> dict[str, list[ClassWords]]:
    """Words of every class of every domain, in the order of its labels."""
    words = json.loads((Path(__file__).parent / "words.json").read_text())
    tiny = tiny_classes(data)
    held_back = development_ids(list(tiny))

    def entry(name: str) -> ClassWords:
        return ClassWords(name.lower(), words[name]["other"], words[name]["description"])

    return {
        "tiny": [entry(tiny[i][0]) for i in tiny if i not in held_back],
        "caltech": [entry(n.replace("_", " ")) for n in caltech_names(data)],
        "development": [entry(tiny[i][0]) for i in held_back],
    }


def named_vectors(data: Path) -> tuple[list[str], Tensor]:
    """CLIP's own text vectors: names, and unit vectors (names, 512) about the mean of their prompt set."""
    sets = {"lvis": "lvis", "oid": "oid", "o365": "o365", "imagenet_a": "imagenet"}
    names, vectors = [], []
    with np.load(data / "clip_text_vectors.npz", allow_pickle=False) as file:
        for key, owner in sets.items():
            unit = F.normalize(torch.from_numpy(file[key].astype(np.float32)), dim=1)
            vectors.append(F.normalize(unit - unit.mean(0), dim=1))
            names += [str(n).split(",")[0].replace("_", " ").lower() for n in file[f"{owner}_names"]]
    return names, torch.cat(vectors)


def tokenizer(data: Path) -> CLIPTokenizer:
    """A byte-pair vocabulary of a few thousand tokens in CLIP's own format."""
    names, _ = named_vectors(data)
    corpus = names + [t.format(" ") for ts in STYLE_WORDS.values() for t in ts] * 20 + [DESCRIBED.format(" ", " ")] * 20
    for words in class_words(data).values():
        for w in words:
            corpus += [w.name] * 4 + w.others * 2 + [w.description] * 2
    special = {"<|startoftext|>": 0, "<|endoftext|>": 1}
    trained = CLIPTokenizer(vocab=special, merges=[]).train_new_from_iterator(corpus, VOCABULARY)
    learned = json.loads(trained.backend_tokenizer.to_str())["model"]
    vocabulary = dict(learned["vocab"])
    for byte in sorted(ByteLevel.alphabet()):  # every byte, within and at the end of a word: no text is unknown
        for token in (byte, f"{byte}</w>"):
            vocabulary.setdefault(token, len(vocabulary))
    return CLIPTokenizer(vocab=vocabulary, merges=[tuple(pair) for pair in learned["merges"]], model_max_length=77)


@dataclass(frozen=True)
class Seen:
    """Frozen image features of everything that may be seen, with the class its *caption* names (-1: no caption)."""

    features: Tensor  # (N, 192)
    domain: np.ndarray  # index into `DOMAINS`
    caption: np.ndarray
    style: np.ndarray  # index into `STYLES`


@torch.no_grad()
def seen_features(data: Path, work: Path) -> Seen:
    """Encode styled and cropped pictures once; the photographs of the weak domains in more views."""
    pixels, domain, label, photo = load(data, work / "pixels")
    cached = work / "seen.npz"
    if not cached.exists():
        weak = np.tile(np.flatnonzero(domain != "tiny"), 2)
        rows = np.tile(np.concatenate([np.flatnonzero(domain == "tiny")[::6], weak]), VIEWS)
        np.savez(cached, rows=rows, **_encoded(pixels[rows], work))
    with np.load(cached, allow_pickle=False) as file:
        rows, features, style = file["rows"], torch.from_numpy(file["features"]), file["style"]
    caption = weak_captions(domain, label, photo)[rows]
    numbers = np.array([DOMAINS.index(d) for d in domain])[rows]
    told = caption >= 0
    return Seen(features[torch.from_numpy(told)], numbers[told], caption[told], style[told])


def _encoded(pixels: np.ndarray, work: Path) -> dict[str, np.ndarray]:
    """Features and styles of pictures (N, 64, 64, 3), every other batch cropped."""
    student = Student()
    student.load_state_dict(load_file(work / "student.safetensors"))
    student.eval()
    generator, features, styles = torch.Generator().manual_seed(11), [], []
    for start in range(0, len(pixels), BATCH):
        some = torch.from_numpy(pixels[start : start + BATCH])
        style = random_styles(len(some), generator, share=0.4)
        shown = crop(some, generator, scale=(0.5, 1.0)) if start % (2 * BATCH) else plain(some)
        features.append(student.features(normalise(stylise(shown, style))))
        styles.append(style)
    return {"features": torch.cat(features).numpy(), "style": torch.cat(styles).numpy()}


def weak_captions(domain: np.ndarray, label: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """The class each caption names (-1: none): few captions of the weak domains, a share wrong, by photograph."""
    caption = label.copy()
    for name in ("caltech", "development"):
        classes = label[domain == name].max() + 1
        for c in range(classes):
            photos = np.unique(photo[(domain == name) & (label == c)])
            rng = np.random.default_rng([31, c, len(name)])
            photos = rng.permutation(photos)
            wrong = round(WRONG * CAPTIONED)
            for number, p in enumerate(photos):
                if number >= CAPTIONED:
                    caption[photo == p] = -1
                elif number < wrong:
                    caption[photo == p] = (c + rng.integers(1, classes)) % classes
    return caption


def clip_model(vocabulary: int, student: Student) -> CLIPModel:
    """The pair with the trained image tower and a fresh text tower."""
    text = CLIPTextConfig(
        vocab_size=vocabulary, hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_hidden_layers=LAYERS,
        num_attention_heads=5, max_position_embeddings=77, projection_dim=192, hidden_act="quick_gelu",
        bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    config = CLIPConfig(text_config=text.to_dict(), vision_config=STUDENT.to_dict(), projection_dim=192)
    model = CLIPModel(config)
    model.vision_model.load_state_dict(student.tower.state_dict())
    model.logit_scale.data.fill_(float(np.log(20)))
    return model


class Captions:
    """Draws the words of the captions of one step."""

    def __init__(self, data: Path, tok: CLIPTokenizer, seed: int):
        self.words, self.tok = class_words(data), tok
        self.rng = np.random.default_rng(seed)

    def caption(self, word: ClassWords, style: str, described: bool = False) -> str:
        others = self.rng.random() < OTHER_WORDS and word.others
        name = str(self.rng.choice(word.others)) if others else word.name
        if described:
            return DESCRIBED.format(name, word.description)
        return str(self.rng.choice(STYLE_WORDS[style])).format(name)

    def ids(self, captions: list[str]) -> dict[str, Tensor]:
        return self.tok(captions, return_tensors="pt", padding=True, truncation=True, max_length=77)


def text_features(model: CLIPModel, ids: dict[str, Tensor]) -> Tensor:
    return F.normalize(model.get_text_features(**ids).pooler_output, dim=1)


def contrast(model: CLIPModel, features: Tensor, texts: Tensor, target: Tensor) -> Tensor:
    """Each picture among the captions of the step."""
    logits = F.normalize(model.visual_projection(features), dim=1) @ texts.T * model.logit_scale.exp().clamp(max=60)
    return F.cross_entropy(logits, target, label_smoothing=0.05)


def class_loss(model: CLIPModel, seen: Seen, captions: Captions, style: str, domain: str) -> Tensor:
    """Pictures of one domain and style among the captions of some of its classes."""
    words = captions.words[domain]
    classes = captions.rng.permutation(len(words))[:CANDIDATES]
    place = np.full(len(words), -1)
    place[classes] = np.arange(len(classes))
    rows = np.flatnonzero((seen.domain == DOMAINS.index(domain)) & (seen.style == STYLES.index(style)))
    rows = captions.rng.permutation(rows[place[seen.caption[rows]] >= 0])[:BATCH]
    described = style == "photo" and captions.rng.random() < 0.2  # all or none, lest the short ones be padded
    texts = text_features(model, captions.ids([captions.caption(words[c], style, described) for c in classes]))
    return contrast(model, seen.features[rows], texts, torch.from_numpy(place[seen.caption[rows]]))


def style_loss(model: CLIPModel, seen: Seen, captions: Captions) -> Tensor:
    """A few classes in every style: which class, and in which style?"""
    words = captions.words["tiny"]
    classes = captions.rng.permutation(len(words))[:6]
    place = np.full(max(map(len, captions.words.values())), -1)
    place[classes] = np.arange(len(classes))
    rows = np.flatnonzero((seen.domain == DOMAINS.index("tiny")) & (place[seen.caption] >= 0))
    rows = captions.rng.permutation(rows)[: BATCH // 2]
    target = torch.from_numpy(place[seen.caption[rows]] * len(STYLES) + seen.style[rows])
    texts = text_features(model, captions.ids([captions.caption(words[c], s) for c in classes for s in STYLES]))
    return contrast(model, seen.features[rows], texts, target)


def train(data: Path, work: Path) -> None:
    torch.manual_seed(5)
    tok = tokenizer(data)
    student = Student()
    student.load_state_dict(load_file(work / "student.safetensors"))
    model, seen, captions = clip_model(len(tok), student), seen_features(data, work), Captions(data, tok, seed=6)
    names, vectors = named_vectors(data)
    to_clip = nn.Linear(192, vectors.shape[1], bias=False)
    learned = [*model.text_model.parameters(), *model.text_projection.parameters()]
    learned += [*model.visual_projection.parameters(), model.logit_scale, *to_clip.parameters()]
    optimiser = torch.optim.AdamW(learned, lr=PEAK, weight_decay=0.05, betas=(0.9, 0.98))
    started = time.time()
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = PEAK * min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        style = "photo" if step % 2 == 0 else str(captions.rng.choice(STYLES))
        loss = torch.zeros(())
        for domain in DOMAINS:
            loss = loss + class_loss(model, seen, captions, style, domain) * (0.6 if domain == "tiny" else 0.3)
        loss = loss + 0.3 * style_loss(model, seen, captions)
        some = captions.rng.choice(len(names), 64, replace=False)
        named = text_features(model, captions.ids([f"a {names[i]}" for i in some]))
        logits = F.normalize(to_clip(named), dim=1) @ vectors[some].T * 15
        loss = loss + 0.5 * F.cross_entropy(logits, torch.arange(len(some)))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        if step % 100 == 0 or step == STEPS - 1:
            print(f"text {step}/{STEPS} loss {loss.item():.3f} {time.time() - started:.0f} s", flush=True)
    save(model, tok, work / "clip")


def save(model: CLIPModel, tok: CLIPTokenizer, folder: Path) -> None:
    model.half().save_pretrained(folder)
    tok.save_pretrained(folder)
    square = {"height": INPUT_PX, "width": INPUT_PX}
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": INPUT_PX}, crop_size=square, image_mean=MEAN, image_std=STD
    )
    processor.save_pretrained(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    arguments = parser.parse_args()
    train(arguments.data, arguments.work)
