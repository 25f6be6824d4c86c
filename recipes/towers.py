"""The image towers: a small ResNet that learns fast from little data, and the ViT that learns from it.

    python recipes/towers.py DATA WORK teacher --minutes 20
    python recipes/towers.py DATA WORK student --minutes 40

Each continues from its checkpoint in WORK and stops when its schedule is done. The schedule is counted in steps, so
that a run is the same on a fast and on a slow machine; `--minutes` only says how long this call may take.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel

from pixels import INPUT_PX, STYLES, crop, load, normalise, plain, random_styles, stylise

BATCH = 128
DOMAIN_SHARE = {"tiny": 100, "caltech": 20, "development": 8}  # photographs of each domain in a batch
STEPS = {"teacher": 3000, "student": 2800}
CLASSES = {"tiny": 160, "caltech": 100, "development": 40}
STUDENT = CLIPVisionConfig(
    hidden_size=192, intermediate_size=768, num_hidden_layers=6, num_attention_heads=6,
    image_size=INPUT_PX, patch_size=8, projection_dim=192, hidden_act="quick_gelu",
)  # fmt: skip


class Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        plain_skip = stride == 1 and inputs == outputs
        self.skip = (
            nn.Identity()
            if plain_skip
            else nn.Sequential(nn.AvgPool2d(stride), nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.skip(x))


def resnet10(width: int = 48) -> nn.Sequential:
    """Ten layers, (B, 3, 48, 48) -> (B, 8 * width)."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
        Residual(width, width, 1), Residual(width, 2 * width, 2), Residual(2 * width, 4 * width, 2),
        Residual(4 * width, 8 * width, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip


class Teacher(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = resnet10()
        self.heads = nn.ModuleDict({d: nn.Linear(384, c) for d, c in CLASSES.items()})
        self.style = nn.Linear(384, len(STYLES))

    def features(self, x: Tensor, keep: float = 1.0) -> Tensor:
        return self.body(x.contiguous(memory_format=torch.channels_last))


class Student(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tower = CLIPVisionModel(STUDENT)
        self.heads = nn.ModuleDict({d: nn.Linear(192, c) for d, c in CLASSES.items()})
        self.style = nn.Linear(192, len(STYLES))
        self.to_teacher = nn.Linear(192, 384)

    def features(self, x: Tensor, keep: float = 1.0) -> Tensor:
        """Pooled features (B, 192); `keep` < 1 leaves out that share of the patches, which is faster."""
        if keep == 1.0:
            return self.tower(pixel_values=x).pooler_output
        vision = self.tower
        tokens = vision.embeddings(x)
        patches = torch.randperm(tokens.shape[1] - 1)[: int(keep * (tokens.shape[1] - 1))] + 1
        tokens = tokens[:, torch.cat([torch.zeros(1, dtype=torch.long), patches])]
        last = vision.encoder(inputs_embeds=vision.pre_layrnorm(tokens)).last_hidden_state
        return vision.post_layernorm(last[:, 0])


class Batches:
    """Draws batches with a fixed share of each domain, keyed by the step: a resumed run sees the same pictures."""

    def __init__(self, data: Path, work: Path, seed: int):
        pixels, domain, label, _ = load(data, work / "pixels")
        self.pixels, self.label, self.seed = torch.from_numpy(pixels), torch.from_numpy(label), seed
        self.rows = {d: torch.from_numpy(np.flatnonzero(domain == d)) for d in DOMAIN_SHARE}

    def __call__(self, step: int, share_styled: float) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures (B, 3, 48, 48) normalised, labels (B,), styles (B,); domains in the order of `DOMAIN_SHARE`."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        torch.manual_seed(self.seed * 1_000_003 + step)
        rows = torch.cat([
            self.rows[d][torch.randint(len(self.rows[d]), (n,), generator=generator)] for d, n in DOMAIN_SHARE.items()
        ])  # fmt: skip
        style = random_styles(len(rows), generator, share_styled)
        pictures = stylise(crop(self.pixels[rows], generator), style)
        return normalise(pictures), self.label[rows], style


def by_domain(x: Tensor) -> dict[str, Tensor]:
    return dict(zip(DOMAIN_SHARE, x.split(list(DOMAIN_SHARE.values())), strict=True))


def supervised(model: Teacher | Student, features: Tensor, label: Tensor, style: Tensor) -> Tensor:
    """Each domain's classes among themselves, and the style."""
    parts = by_domain(features), by_domain(label)
    loss = F.cross_entropy(model.style(features), style) * 0.2
    for domain, share in DOMAIN_SHARE.items():
        logits = model.heads[domain](parts[0][domain])
        loss = loss + F.cross_entropy(logits, parts[1][domain], label_smoothing=0.1) * share / BATCH
    return loss


def distilled(student: Student, teacher: Teacher, pictures: Tensor, features: Tensor) -> Tensor:
    """The teacher's view of every domain's classes (softened), and its features."""
    with torch.no_grad():
        target = teacher.features(pictures)
    cosine = 1 - F.cosine_similarity(student.to_teacher(features), target - target.mean(0)).mean()
    loss = 4.0 * cosine
    for domain, head in teacher.heads.items():
        soft = F.softmax(head(target) / 2, 1).detach()
        loss = loss + F.kl_div(F.log_softmax(student.heads[domain](features) / 2, 1), soft, reduction="batchmean")
    return loss


@torch.no_grad()
def probe(model: Teacher | Student, batches: Batches) -> dict[str, float]:
    """Training accuracy on plain pictures of a fixed sample of each domain: a sign of life, not a measurement."""
    model.eval()
    shares = {}
    for domain, rows in batches.rows.items():
        some = rows[:: max(1, len(rows) // 512)]
        logits = model.heads[domain](model.features(normalise(plain(batches.pixels[some]))))
        shares[domain] = round((logits.argmax(1) == batches.label[some]).float().mean().item(), 3)
    model.train()
    return shares


def run(data: Path, work: Path, name: str, minutes: float) -> None:
    torch.manual_seed(1)
    model = Teacher().to(memory_format=torch.channels_last) if name == "teacher" else Student()
    if name == "teacher":
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
        peak = 0.1
    else:
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05, betas=(0.9, 0.98))
        peak = 1.5e-3
        teacher = Teacher()
        teacher.load_state_dict(load_file(work / "teacher.safetensors"))
        teacher.eval().to(memory_format=torch.channels_last)
    checkpoint, step, total = work / f"{name}.checkpoint", 0, STEPS[name]
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        step = state["step"]
    batches, started, seen = Batches(data, work, seed=1 if name == "teacher" else 2), time.time(), step
    while step < total and time.time() - started < minutes * 60:
        pictures, label, style = batches(step, share_styled=0.25)
        for group in optimiser.param_groups:
            warm = min(1.0, (step + 1) / (0.08 * total))
            group["lr"] = peak * warm * 0.5 * (1 + math.cos(math.pi * step / total))
        features = model.features(pictures, keep=0.5 if step < total // 2 else 1.0)
        loss = supervised(model, features, label, style)
        if name == "student":
            loss = loss + distilled(model, teacher, pictures, features)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        step += 1
        if step % 250 == 0 or step == total:
            speed = (step - seen) * BATCH / (time.time() - started)
            print(f"{name} {step}/{total} loss {loss.item():.3f} {probe(model, batches)} {speed:.0f}/s", flush=True)
            torch.save({"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step}, checkpoint)
            save_file({k: v.contiguous() for k, v in model.state_dict().items()}, work / f"{name}.safetensors")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("name", choices=tuple(STEPS))
    parser.add_argument("--minutes", type=float, default=1e9)
    arguments = parser.parse_args()
    run(arguments.data, arguments.work, arguments.name, arguments.minutes)
