"""Evidence made by hand."""

from collections.abc import Callable

import numpy as np
import pytest

from srrs.records import Evidence, Group, MatchScores, NoiseEstimate, Partition, Targets

NAMES = ("macro", "micro", "probe", "fourth")


@pytest.fixture
def evidence() -> Callable[..., Evidence]:
    """`(probs=…, labels=…)` or `(seed=…)`: what is not given is drawn. `probs` (N, tuners, C) become logits."""

    def make(
        *,
        probs: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        n: int = 30,
        classes: int = 3,
        learners: int = 2,
        seed: int = 0,
        match: MatchScores | None = None,
    ) -> Evidence:
        generator = np.random.default_rng(seed)
        n = len(next((a for a in (probs, labels) if a is not None), np.empty(n)))
        probs = generator.dirichlet(np.ones(classes), (n, learners)) if probs is None else np.asarray(probs)
        features = generator.standard_normal((n, 8))
        logits = {name: np.log(probs[:, number]) for number, name in enumerate(NAMES[: probs.shape[1]])}
        return Evidence(
            keys=generator.integers(0, 2**63, n).astype(np.uint64),
            labels=generator.integers(0, probs.shape[2], n) if labels is None else np.asarray(labels),
            classes=probs.shape[2],
            logits=logits,
            voters=tuple(logits),
            zero_shot=generator.dirichlet(np.ones(probs.shape[2]), n),
            features=features / np.linalg.norm(features, axis=1, keepdims=True),
            match=match,
        )

    return make


@pytest.fixture
def probs_of() -> Callable[[Evidence], np.ndarray]:
    """(N, voters, C) probabilities of the voters."""
    return lambda found: np.exp(np.stack([found.logits[name] for name in found.voters], 1))


@pytest.fixture
def partition() -> Callable[..., Partition]:
    """`(group, p_clean, posterior)`"""

    def make(group: list[Group], p_clean: list[float] | None = None, posterior: np.ndarray | None = None) -> Partition:
        belief = np.full(len(group), 0.5) if p_clean is None else np.array(p_clean)
        return Partition(np.array(group), belief, NoiseEstimate(0.1, 0.05, 0.2), posterior=posterior)

    return make


@pytest.fixture
def targets() -> Callable[[list[int]], Targets]:
    """One-hot targets over three classes."""
    return lambda classes: Targets(np.eye(3)[classes], np.ones(len(classes)))
