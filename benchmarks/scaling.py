"""What a step costs against samples, classes, views and prompt length, with the arithmetic floor beside it.

The text pass is that of the described prompts, forward and backward; the step is the loop's own, with both learners.
The floor is the count of `floor.py` over the best rate that torch, oneDNN on packed weights or ONNX Runtime reaches for
products of the tower's sizes, measured between the passes. Rows of bf16 are compared with the rate of bf16. The rate is
that of 4,096 rows, and fewer rows have a lower one: the ratio by the rate of as many rows as the pass has stands
beside it. Features are random, since their values change no time.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch

import floor
import ours
from common import Table, alternate, best_rate, computes_bf16, timed
from models import dual_encoder
from srrs.config import Settings
from srrs.models.dual import DualEncoder
from srrs.tuners.prompt import PromptLayout
from words import class_names, descriptions

ROWS = 4096  # positions of the product whose rate is the machine's


class Case(NamedTuple):
    """One point of the sweeps; the defaults are Caltech101 in default settings."""

    samples: int = 1600
    classes: int = 100
    views: int = 4
    words: int | None = None
    """Of each description; None: all."""
    context: str = "class"
    precision: str = "fp32"


def measure(quick: bool) -> Table:
    """A point of a sweep per row."""
    model = "bundled" if quick else "vitb32"
    encoders = {p: dual_encoder(model, p) for p in ("fp32", "bf16")}
    return {
        name: {"model": model, **_row(encoders[case.precision], case, repeats=1 if quick else 3)}
        for name, case in (_quick() if quick else _sweeps())
        if case.precision == "fp32" or computes_bf16()
    }


def _quick() -> Iterator[tuple[str, Case]]:
    small = Case(samples=64, classes=10)
    yield "10 classes", small
    yield "20 classes", small._replace(classes=20)
    yield "20 classes, shared context", small._replace(classes=20, context="shared")


def _sweeps() -> Iterator[tuple[str, Case]]:
    yield "default", Case()
    yield "default, bf16", Case(precision="bf16")
    yield "shared context", Case(context="shared")
    yield "shared context, bf16", Case(context="shared", precision="bf16")
    yield from ((f"{n} samples", Case(samples=n)) for n in (400, 25600))
    yield from ((f"{c} classes", Case(classes=c)) for c in (10, 25, 50, 200, 400))
    yield from ((f"{c} classes, shared context", Case(classes=c, context="shared")) for c in (25, 400))
    yield from ((f"views: {v}", Case(views=v)) for v in (1, 8))
    yield from ((f"descriptions of {w} words", Case(words=w)) for w in (0, 3))
    yield "descriptions of 30 words", Case(words=30)


def _row(model: DualEncoder, case: Case, repeats: int) -> dict[str, object]:
    task = ours.task_of(model, case.classes, ours.random_views(model, case.samples, max(case.views - 1, 1)))
    clauses = tuple(_of_words(text, case.words) for text in descriptions(case.classes))
    task = replace(task, descriptions=clauses)
    layout_of = PromptLayout(
        model, class_names(case.classes), class_specific=case.context == "class", descriptions=clauses
    )
    settings = Settings.of({"matcher": "none", "context": case.context, "views_per_step": case.views})
    tower = floor.Tower.of(model)
    layout = floor.Layout.of(layout_of(), len(model.start), layout_of.context)
    operations = floor.text_pass(tower, layout).total
    dtype = next(model.model.parameters()).dtype
    own = min(ROWS, sum(layout.lengths) - len(layout.lengths) * layout.shared)
    rates: dict[int, list[float]] = {ROWS: [], own: []}

    def rate() -> float:
        for rows, found in rates.items():
            found.append(best_rate(rows, tower.width, tower.inner, dtype, model.device, 3))
        return 1.0

    def text_pass() -> None:
        layout_of.zero_grad()
        model.encode_prompts(layout_of()).sum().backward()  # type: ignore[no-untyped-call]

    clocks = {
        "rate": rate,
        "text": timed(text_pass, model.device),
        "step": lambda: ours.step_seconds(task, settings, 1 if repeats == 1 else 2),
    }
    seconds = alternate(clocks, repeats)
    least = operations / max(rates[ROWS])
    return {
        "samples": case.samples,
        "classes": case.classes,
        "views": case.views,
        "mean_length": float(torch.tensor(layout.lengths).float().mean()),
        "text_pass_s": seconds["text"].median,
        "text_pass_spread": seconds["text"].spread,
        "floor_s": least,
        "text_pass_over_floor": seconds["text"].median / least,
        "text_pass_over_floor_at_own_rows": seconds["text"].median * max(rates[own]) / operations,
        "gflop": operations / 1e9,
        "machine_gflops": max(rates[ROWS]) / 1e9,
        "step_s": seconds["step"].median,
        "step_spread": seconds["step"].spread,
    }


def _of_words(text: str | None, count: int | None) -> str | None:
    """A description cut or repeated to `count` words."""
    if count is None or text is None:
        return text
    words = text.split()
    return " ".join((words * (count // len(words) + 1))[:count]) or None
