"""The number of steps and the learning rate of a run. A step takes one text pass per prompt tuner."""

import math
from dataclasses import dataclass

WARM_UP_SHARE = 0.02
"""Share of the steps with the warm-up rate. In CoOp, the first epoch has this share of the run."""
WARM_UP_FACTOR = 2.5e-5
"""Learning rate of the warm-up, relative to the full learning rate. For a rate of 0.4, it is 1e-5, as in CoOp."""


@dataclass(frozen=True)
class Schedule:
    """The number of steps, the size of the batches, and the learning rate of each step."""

    steps: int = 60
    """Number of training steps."""
    batch: int = 512
    """Number of samples per step."""
    views: int = 4
    """Number of views of each sample per step."""
    rate: float = 1.0
    """Factor for the learning rate of every tuner."""

    def factor(self, step: int) -> float:
        """Return the factor of a step for the learning rate of each tuner: a short warm-up, then a cosine to zero."""
        if step < max(1, round(WARM_UP_SHARE * self.steps)):
            return WARM_UP_FACTOR * self.rate
        return self.rate * 0.5 * (1 + math.cos(math.pi * step / self.steps))
