"""Re-screening: does the picture match its rectified label?"""

from collections.abc import Callable

import numpy as np

from srrs.core.mixture import fit_two, normalise, posterior_low
from srrs.methods.screen import remembered
from srrs.methods.stages import Memory, Rescreen
from srrs.records import Bools, Evidence, Floats, Group, Matched, Partition, Targets


def accept_all() -> Rescreen:
    """No second opinion: every rectified label counts as well matched."""

    def rescreen(evidence: Evidence, partition: Partition, targets: Targets, memory: Memory) -> tuple[Matched, Memory]:
        n = len(targets.soft)
        return Matched(np.ones(n, dtype=bool), np.full(n, np.nan)), memory

    return rescreen


def matcher(kappa: float = 0.5, remember: int = 5, ambiguous_only: bool = False, seed: int = 0) -> Rescreen:
    """SRRS as published: a mixture of two Gaussians on the matcher's scores; matched where q >= kappa.

    Scores are averaged over the last `remember` screenings, as the released code does. Without a matcher everything is
    accepted.
    """

    def decide(score: Floats, partition: Partition, memory: Memory) -> tuple[Bools, Memory]:
        smooth, memory = remembered("matches", normalise(score), remember, memory)
        is_match = 1 - posterior_low(smooth, fit_two(smooth, seed=seed)) >= kappa
        if ambiguous_only:
            is_match |= partition.group != Group.AMBIGUOUS
        return is_match, memory

    return _by_score(decide)


def reported(threshold: float = 0.5) -> Rescreen:
    """The matcher's own score of each rectified label, for the audit: matched from `threshold`. No mixture, no memory.

    Without a matcher everything is accepted.
    """
    return _by_score(lambda score, partition, memory: (score >= threshold, memory))


def _by_score(decide: Callable[[Floats, Partition, Memory], tuple[Bools, Memory]]) -> Rescreen:
    """Re-screening that decides by how well each picture matches its rectified label."""

    def rescreen(evidence: Evidence, partition: Partition, targets: Targets, memory: Memory) -> tuple[Matched, Memory]:
        if evidence.match is None:
            return accept_all()(evidence, partition, targets, memory)
        score = evidence.match(np.arange(len(targets.soft)), targets.hard)
        is_match, memory = decide(score, partition, memory)
        return Matched(is_match, score), memory

    return rescreen
