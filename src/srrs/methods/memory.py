"""Functions that read and extend the memory of a stage, and functions that read fields of the evidence. N samples."""

import numpy as np

from srrs.methods.stages import Memory
from srrs.records import Evidence, Floats
from srrs.screening.predictions import Logits


def recall(memory: Memory, name: str, values: Floats, count: int) -> tuple[Floats, Memory]:
    """Return the stored values (K, N) of up to `count - 1` earlier screenings, and the memory with `values` (N,) added.

    `name` is the key of the values in the memory. Raises ValueError unless `count` is at least 1.
    """
    if count < 1:
        raise ValueError(f"Expected a memory of at least 1 screening, the present one, but got {count}")
    past = memory.get(name, np.zeros((0, len(values))))
    past = past[max(0, len(past) - count + 1) :]
    return past, {**memory, name: np.concatenate([past, values[None]])}


def votes(evidence: Evidence) -> Logits:
    """Return the logits (N, C) of each voter (a tuner with `votes=True`). Raises ValueError if there is no voter."""
    if not evidence.voters:
        raise ValueError("a stage that reads predictions needs the logits of a tuner that votes")
    return [evidence.logits[name] for name in evidence.voters]


def given(evidence: Evidence, name: str) -> Floats:
    """Return a field of the evidence: `zero_shot`, `features` or `class_vectors`. Raises ValueError if it is None."""
    values: Floats | None = getattr(evidence, name)
    if values is None:
        raise ValueError(
            f"a stage reads {name}, but the evidence has none: give the model or the arrays that it comes from, and "
            f"declare it with @reads({name!r})"
        )
    return values
