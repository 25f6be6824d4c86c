"""Re-screening stages: whether each image matches its rectified label."""

from collections.abc import Callable

import numpy as np

from srrs.core.mixture import fit_two, normalize, posterior_low
from srrs.methods.memory import recall
from srrs.methods.stages import Memory, Rescreen, reads
from srrs.records import Bools, Evidence, Floats, Group, Matched, Partition, Targets
from srrs.screening.common import averaged


def accept_all() -> Rescreen:
    """Accept every rectified label as matched."""

    @reads()
    def rescreen(evidence: Evidence, partition: Partition, targets: Targets, memory: Memory) -> tuple[Matched, Memory]:
        n = len(targets.soft)
        return Matched(np.ones(n, dtype=bool), np.full(n, np.nan)), memory

    return rescreen


def matcher(kappa: float = 0.5, remember: int = 1, ambiguous_only: bool = False, seed: int = 0) -> Rescreen:
    """Fit two Gaussians to the matcher's scores of the rectified labels: SRRS as published.

    A label is matched if it belongs to the high component with probability at least `kappa`. Scores are averaged over
    the last `remember` screenings, as in the released code. With `ambiguous_only`, all samples that screening did not
    call ambiguous are accepted. Without a matcher every label is accepted.
    """

    def decide(score: Floats, partition: Partition, memory: Memory) -> tuple[Bools, Memory]:
        scaled = normalize(score)
        history, memory = recall(memory, "matches", scaled, remember)
        smooth = averaged(scaled, history)
        is_match = 1 - posterior_low(smooth, fit_two(smooth, seed=seed)) >= kappa
        if ambiguous_only:
            is_match |= partition.group != Group.AMBIGUOUS
        return is_match, memory

    return _by_score(decide)


def reported(threshold: float = 0.5) -> Rescreen:
    """Report the matcher's own score of each rectified label; it is matched from `threshold` on.

    Without a matcher every label is accepted.
    """
    return _by_score(lambda score, partition, memory: (score >= threshold, memory))


def _by_score(decide: Callable[[Floats, Partition, Memory], tuple[Bools, Memory]]) -> Rescreen:
    """Re-screen by the matcher's score of each rectified label."""

    @reads("match")
    def rescreen(evidence: Evidence, partition: Partition, targets: Targets, memory: Memory) -> tuple[Matched, Memory]:
        if evidence.match is None:
            return accept_all()(evidence, partition, targets, memory)
        score = evidence.match(np.arange(len(targets.soft)), targets.hard)
        is_match, memory = decide(score, partition, memory)
        return Matched(is_match, score), memory

    return rescreen
