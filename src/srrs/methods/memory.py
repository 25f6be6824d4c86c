"""The memory of stages between screenings, and access to the fields of the evidence."""

import numpy as np

from srrs.methods.stages import Memory
from srrs.records import Evidence, Floats
from srrs.screening.predictions import Logits


def recall(memory: Memory, name: str, values: Floats, count: int) -> tuple[Floats, Memory]:
    """Return the last `count - 1` values (K, N) stored under a name, and the memory with `values` (N,) added to them.

    Raises ValueError unless `count` is at least 1.
    """
    if count < 1:
        raise ValueError(f"Expected a memory of at least 1 screening, the present one, but got {count}")
    past = memory.get(name, np.zeros((0, len(values))))
    past = past[max(0, len(past) - count + 1) :]
    return past, {**memory, name: np.concatenate([past, values[None]])}


def votes(evidence: Evidence) -> Logits:
    """Return the logits of the tuners that classify. Raises ValueError if nothing was tuned."""
    if not evidence.voters:
        raise ValueError("a stage that reads predictions needs the logits of a tuner that votes")
    return [evidence.logits[name] for name in evidence.voters]


def given(evidence: Evidence, name: str) -> Floats:
    """Return `zero_shot`, `features` or `class_vectors`. Raises ValueError if the evidence lacks the field."""
    values: Floats | None = getattr(evidence, name)
    if values is None:
        raise ValueError(
            f"a stage reads {name}, but the evidence has none: give the model or the arrays that it comes from, and "
            f"declare it with @reads({name!r})"
        )
    return values
