"""The training step: two learners, 32 photographs of 4 views, 100 classes (a quick run: 8 photographs, 20 classes).

Published: the text tower at 77 positions and the image tower for every view, each once per learner, in fp32, on torch's
own linear layers. Ours: the loop's own step on features encoded beforehand. Both take the same weights, prompts,
photographs, targets and loss. Their logits and the gradients of both contexts are compared before any step is taken.
Our step gets the features as they were encoded; the store rounds them to float16.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

import ours
import published
from common import (
    Seconds,
    Table,
    alternate,
    computes_bf16,
    fresh_peak,
    relative_difference,
    timed,
)
from models import dual_encoder
from srrs.config import Settings
from srrs.methods.stages import LabeledBatch
from srrs.models.dual import DualEncoder
from srrs.prompts.templates import MACRO, MICRO
from srrs.records import Batch
from titles import NOT_MEASURED
from words import class_names, descriptions

CLASSES, BATCH, VIEWS = 100, published.BATCH, published.VIEWS
CASES = {
    "fp32, shared context": ("fp32", "shared"),
    "bf16, shared context": ("bf16", "shared"),
    "fp32, context per class": ("fp32", "class"),
    "bf16, context per class": ("bf16", "class"),
}
"""Case -> precision of our text tower, and whether all classes share a context, as published, or not, our default.

Those of bf16 are measured if the CPU has instructions for it."""


def measure(quick: bool) -> Table:
    """A case of our step per row, beside the published fp32 step."""
    if quick:
        return compare("bundled", CASES, classes=20, photographs=8, repeats=1, with_memory=False)
    cases = {case: how for case, how in CASES.items() if how[0] == "fp32" or computes_bf16()}
    table = compare("vitb32", cases) | {f"bundled, {case}": row for case, row in compare("bundled", cases).items()}
    return table | {
        case: dict.fromkeys(table["fp32, shared context"], NOT_MEASURED) for case in CASES if case not in cases
    }


def compare(
    model: str,
    cases: Mapping[str, tuple[str, str]],
    classes: int = CLASSES,
    photographs: int = BATCH,
    repeats: int = 3,
    with_memory: bool = True,
) -> Table:
    """Cases of one model."""
    encoders = {precision: dual_encoder(model, precision) for precision in {"fp32"} | {p for p, _ in cases.values()}}
    pixels = _pixels(encoders["fp32"], photographs * VIEWS)
    views = torch.cat([encoders["fp32"].encode_images(b) for b in torch.split(pixels, BATCH)])
    views = views.view(photographs, VIEWS, -1)
    tasks = {precision: ours.task_of(encoder, classes, views) for precision, encoder in encoders.items()}

    results = {case: ours.first_step(tasks[p], settings(context)) for case, (p, context) in cases.items()}
    batch = results["fp32, shared context"][1]
    assert batch.inputs.features is not None
    taught = pixels[_rows_of(batch.inputs.features, views.flatten(0, 1))]
    plain = dual_encoder(model, kernels="torch")
    reference = {context: _reference(plain, classes, taught, batch, context) for context in ("shared", "class")}

    trainer = _trainer(plain, classes, "shared")
    clocks = {"published": timed(lambda: trainer.step(taught, batch))} | {
        case: partial(ours.step_seconds, tasks[p], settings(context), 2) for case, (p, context) in cases.items()
    }
    seconds = alternate(clocks, repeats)
    peak = _peaks(model, cases) if with_memory else {}
    return {
        case: {
            "model": model,
            "classes": classes,
            "photographs": photographs,
            "published_s": seconds["published"].median,
            "published_spread": seconds["published"].spread,
            "ours_s": seconds[case].median,
            "ours_spread": seconds[case].spread,
            "ratio": seconds["published"].median / seconds[case].median,
            **_differences(results[case], reference[context]),
            "published_peak_mb": peak.get("published", NOT_MEASURED),
            "ours_peak_mb": peak.get(case, NOT_MEASURED),
            "repeats": repeats,
        }
        for case, (_, context) in cases.items()
    }


def settings(context: str) -> Settings:
    """Those of a published step: 32 photographs of 4 views."""
    return Settings.of({"matcher": "none", "context": context, "batch": BATCH, "views_per_step": VIEWS, "seed": 1})


def published_seconds(model: DualEncoder, classes: int, repeats: int) -> Seconds:
    """Of the published step alone."""
    trainer, pixels = _trainer(model, classes, "shared"), _pixels(model, BATCH * VIEWS)
    batch = labeled_batch(len(pixels), classes, model.device)
    return alternate({"published": timed(lambda: trainer.step(pixels, batch), model.device)}, repeats)["published"]


def one_published(model: str, classes: int, photographs: int = BATCH, learners: int = 2) -> Callable[[], object]:
    """A published step, ready to be taken; with one learner the other is left away."""
    encoder = dual_encoder(model, kernels="torch")
    trainer = _trainer(encoder, classes, "shared", learners)
    pixels = _pixels(encoder, photographs * VIEWS)
    return lambda: trainer.step(pixels, labeled_batch(len(pixels), classes, encoder.device))


def one_ours(model: str, precision: str, context: str, classes: int) -> Callable[[], object]:
    """Our step, ready to be taken."""
    encoder = dual_encoder(model, precision)
    task = ours.task_of(encoder, classes, ours.random_views(encoder, BATCH, VIEWS - 1))
    return lambda: ours.first_step(task, settings(context))


def labeled_batch(rows: int, classes: int, device: torch.device) -> LabeledBatch:
    """One that teaches each row a class, taken in turn."""
    soft = torch.eye(classes, device=device)[torch.arange(rows, device=device) % classes]
    every = torch.ones(rows, device=device)
    return LabeledBatch(
        Batch(features=torch.empty(rows, 0, device=device)),
        soft,
        every,
        torch.zeros_like(every, dtype=torch.int8),
        every > 0,
    )


class _Outcome(NamedTuple):
    logits: Tensor
    gradients: list[Tensor]


def _reference(model: DualEncoder, classes: int, pixels: Tensor, batch: LabeledBatch, context: str) -> _Outcome:
    trainer = _trainer(model, classes, context)
    logits = trainer.step(pixels, batch)
    return _Outcome(logits, [ours.context_gradient(learner) for learner in trainer.learners])


def _differences(result: tuple[Tensor, LabeledBatch, list[Tensor]], reference: _Outcome) -> dict[str, object]:
    logits, _, gradients = result
    pairs = zip(gradients, reference.gradients, strict=True)
    return {
        "max_rel_diff_logits": relative_difference(logits, reference.logits),
        "max_rel_diff_ctx_grad": max(relative_difference(a.view_as(b), b) for a, b in pairs),
    }


def _trainer(model: DualEncoder, classes: int, context: str, learners: int = 2) -> published.Trainer:
    names = class_names(classes)
    macro = [MACRO.text(name) for name in names]
    micro = [MICRO.text(name, clause) for name, clause in zip(names, descriptions(classes), strict=True)]
    both = published.learners_of(model, macro, micro, per_class=context == "class")
    return published.Trainer(model, both[-learners:], ours.stepping().loss)


def _pixels(model: DualEncoder, count: int) -> Tensor:
    size = model.preprocess(ours.pictures(1, (8, 8))[0]).shape
    return torch.randn(count, *size, generator=torch.Generator().manual_seed(ours.SEED))


def _rows_of(features: Tensor, views: Tensor) -> Tensor:
    """Which row of `views` each row of `features` is."""
    same = (features[:, None] == views[None]).all(-1)
    assert bool(same.any(1).all()), "a step has taught features that are none of the photographs'"
    return same.int().argmax(1)


def _peaks(model: str, cases: Mapping[str, tuple[str, str]]) -> dict[str, float]:
    peaks = {"published": fresh_peak("step", "one_published", model=model, classes=CLASSES).after}
    for case, (precision, context) in cases.items():
        order = {"model": model, "precision": precision, "context": context, "classes": CLASSES}
        peaks[case] = fresh_peak("step", "one_ours", **order).after
    return peaks
