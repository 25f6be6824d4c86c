"""How long and how fast a run learns. The budget is counted in steps: one text pass per prompt tuner each."""

import math
from dataclasses import dataclass

WARM_UP_SHARE = 0.02
"""Share of the steps at the warm-up rate, as CoOp's first epoch is of its run."""
WARM_UP_FACTOR = 2.5e-5
"""Learning rate of those steps, relative to the full one: CoOp's 1e-5 for a rate of 0.4."""


@dataclass(frozen=True)
class Schedule:
    """Steps, batches and the course of the learning rate."""

    steps: int = 60
    batch: int = 512
    """Samples per step."""
    views: int = 4
    """Views of each sample per step."""
    rate: float = 1.0
    """Multiplies the learning rate of every tuner."""

    def factor(self, step: int) -> float:
        """Return the learning rate of a step, relative to the tuner's own: a short warm-up, then a cosine to zero."""
        if step < max(1, round(WARM_UP_SHARE * self.steps)):
            return WARM_UP_FACTOR * self.rate
        return self.rate * 0.5 * (1 + math.cos(math.pi * step / self.steps))
