"""Evidence made by hand."""

from collections.abc import Callable

import numpy as np
import pytest

from srrs.records import Evidence, Group, MatchScores, NoiseEstimate, Partition, Targets


@pytest.fixture
def evidence() -> Callable[..., Evidence]:
    """`(loss=…)`, `(probs=…, labels=…)` or `(seed=…)`: what is not given is drawn."""

    def make(
        *,
        probs: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        loss: np.ndarray | None = None,
        n: int = 30,
        classes: int = 3,
        learners: int = 2,
        seed: int = 0,
        match: MatchScores | None = None,
    ) -> Evidence:
        generator = np.random.default_rng(seed)
        n = len(next((a for a in (probs, labels, loss) if a is not None), np.empty(n)))
        probs = generator.dirichlet(np.ones(classes), (n, learners)) if probs is None else np.asarray(probs)
        features = generator.standard_normal((n, 8))
        return Evidence(
            ids=tuple(f"{i}.jpg" for i in range(n)),
            labels=generator.integers(0, probs.shape[2], n) if labels is None else np.asarray(labels),
            probs=probs,
            zero_shot=generator.dirichlet(np.ones(probs.shape[2]), n),
            features=features / np.linalg.norm(features, axis=1, keepdims=True),
            loss=generator.exponential(size=n) if loss is None else np.asarray(loss, float),
            agreement=generator.random(n),
            match=match,
        )

    return make


@pytest.fixture
def partition() -> Callable[..., Partition]:
    """`(group, p_clean, posterior)`"""

    def make(group: list[Group], p_clean: list[float] | None = None, posterior: np.ndarray | None = None) -> Partition:
        belief = np.full(len(group), 0.5) if p_clean is None else np.array(p_clean)
        return Partition(np.array(group), belief, np.zeros((1, 2)), NoiseEstimate(0.1, 0.05, 0.2), posterior)

    return make


@pytest.fixture
def targets() -> Callable[[list[int]], Targets]:
    """One-hot targets over three classes."""
    return lambda classes: Targets(np.eye(3)[classes], np.ones(len(classes)))
