"""Re-screening: does the picture match its rectified label?"""

import numpy as np

from srrs.core.mixture import fit_two, normalise, posterior_low
from srrs.methods.screen import remembered
from srrs.methods.stages import MatchScores, Memory, Rescreen
from srrs.records import Evidence, Group, Matched, Partition, Targets


def accept_all() -> Rescreen:
    """No second opinion: every rectified label counts as well matched."""

    def rescreen(
        evidence: Evidence, partition: Partition, targets: Targets, match: MatchScores | None, memory: Memory
    ) -> tuple[Matched, Memory]:
        n = len(targets.soft)
        return Matched(np.ones(n, dtype=bool), np.full(n, np.nan)), memory

    return rescreen


def matcher(kappa: float = 0.5, remember: int = 5, ambiguous_only: bool = False, seed: int = 0) -> Rescreen:
    """SRRS as published: a mixture of two Gaussians on the matcher's scores; matched where q >= kappa.

    Scores are averaged over the last `remember` screenings, as the released code does. Without a matcher everything is
    accepted.
    """

    def rescreen(
        evidence: Evidence, partition: Partition, targets: Targets, match: MatchScores | None, memory: Memory
    ) -> tuple[Matched, Memory]:
        if match is None:
            return accept_all()(evidence, partition, targets, match, memory)
        score = match(np.arange(len(targets.soft)), targets.hard)
        smooth, memory = remembered("matches", normalise(score), remember, memory)
        is_match = 1 - posterior_low(smooth, fit_two(smooth, seed=seed)) >= kappa
        if ambiguous_only:
            is_match |= partition.group != Group.AMBIGUOUS
        return Matched(is_match, score), memory

    return rescreen


def reported(threshold: float = 0.5) -> Rescreen:
    """The matcher's own score of each rectified label, for the audit: matched from `threshold`. No mixture, no memory.

    Without a matcher everything is accepted.
    """

    def rescreen(
        evidence: Evidence, partition: Partition, targets: Targets, match: MatchScores | None, memory: Memory
    ) -> tuple[Matched, Memory]:
        if match is None:
            return accept_all()(evidence, partition, targets, match, memory)
        score = match(np.arange(len(targets.soft)), targets.hard)
        return Matched(score >= threshold, score), memory

    return rescreen
