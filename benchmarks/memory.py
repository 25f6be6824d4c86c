"""Peak memory of a training step against the number of classes, each in a process of its own.

The package takes the whole step of both tuners with default settings (a context per class); its memory must stay flat.
Of the published step only one tuner is run, on 4 images: it keeps the activations of 77 positions of every class for
the backward pass, so a second tuner doubles what grows. A line through its sizes says what 1,000 classes would take.
Nothing is subtracted: a process with the model and the prompts, before the step, is given beside it.
"""

import numpy as np

from common import Peak, Table, available_memory, computes_bf16, fresh_peak
from titles import NOT_MEASURED

MB_PER_CLASS = 60
"""A guess of what a published step takes, by which one that would not fit is not begun."""


def measure(quick: bool) -> Table:
    """A number of classes per row."""
    model = "bundled" if quick else "vitb16"
    sizes, theirs, far = ((20, 40), (20, 40), 100) if quick else ((100, 200, 1000, 2000), (100, 200, 300), 1000)
    table = {f"package, {classes} classes": _row(_ours(model, classes)) for classes in sizes}
    first, last = (table[f"package, {classes} classes"]["peak_mb"] for classes in sizes[-2:])
    assert isinstance(first, float)
    assert isinstance(last, float)
    table[f"package, {sizes[-1]} classes"]["peak_over_previous"] = last / first
    if not quick and computes_bf16():
        mixed = fresh_peak("step", "one_ours", model=model, precision="bf16", context="class", classes=far)
        table[f"package, bf16, {far} classes"] = _row(mixed)

    peaks = {classes: _published(model, classes) for classes in theirs}
    table |= {f"published, one tuner, {classes} classes": _row(peak) for classes, peak in peaks.items()}
    table[f"published, one tuner, {far} classes"] = {
        "before_mb": NOT_MEASURED,
        "peak_mb": _extrapolated({c: p.after for c, p in peaks.items() if p}, far),
        "measured_on": f"a line through {', '.join(str(c) for c, p in peaks.items() if p)} classes",
    }
    return {case: {"model": model, **row} for case, row in table.items()}


def _ours(model: str, classes: int) -> Peak:
    return fresh_peak("step", "one_ours", model=model, precision="fp32", context="class", classes=classes)


def _published(model: str, classes: int) -> Peak | None:
    if classes * MB_PER_CLASS > available_memory():
        return None
    return fresh_peak("step", "one_published", model=model, classes=classes, photographs=4, learners=1)


def _row(peak: Peak | None) -> dict[str, object]:
    if peak is None:
        return {"before_mb": NOT_MEASURED, "peak_mb": NOT_MEASURED, "measured_on": "too little free memory"}
    return {"before_mb": peak.before, "peak_mb": peak.after, "measured_on": "this size"}


def _extrapolated(peaks: dict[int, float], classes: int) -> float | str:
    if len(peaks) < 2:
        return NOT_MEASURED
    slope, constant = np.polyfit(list(peaks), list(peaks.values()), 1)
    return float(slope * classes + constant)
