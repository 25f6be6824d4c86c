"""Re-screening stages: they decide whether each image matches its rectified label. See `stages.Rescreen`."""

from collections.abc import Callable

import numpy as np

from srrs.core.mixture import fit_two, normalize, posterior_low
from srrs.methods.memory import recall
from srrs.methods.stages import Memory, Rescreen, reads
from srrs.records import Bools, Evidence, Floats, Group, Matched, Partition, Targets
from srrs.screening.common import averaged


def accept_all() -> Rescreen:
    """Return the stage that accepts every rectified label as matched."""

    @reads()
    def rescreen(evidence: Evidence, partition: Partition, targets: Targets, memory: Memory) -> tuple[Matched, Memory]:
        n = len(targets.soft)
        return Matched(np.ones(n, dtype=bool), np.full(n, np.nan)), memory

    return rescreen


def matcher(kappa: float = 0.5, remember: int = 1, ambiguous_only: bool = False, seed: int = 0) -> Rescreen:
    """Return the stage that matches labels by a mixture of two Gaussians on matcher scores, as in the published SRRS.

    The scores are those that the image-text matcher gives the rectified labels. A label is matched if it belongs to the
    component with the higher mean, with a probability of at least `kappa`. As in the released code, scores are averaged
    over the last `remember` screenings. With `ambiguous_only`, clean and noisy samples are always matched. Without a
    matcher, all labels are matched. `seed` initializes the mixture.
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
    """Return the stage that reports the score of the image-text matcher for each rectified label.

    A label is matched if its score is at least `threshold`. Without a matcher, all labels are matched.
    """
    return _by_score(lambda score, partition, memory: (score >= threshold, memory))


def _by_score(decide: Callable[[Floats, Partition, Memory], tuple[Bools, Memory]]) -> Rescreen:
    """Return the stage that decides by the matcher's score (N,) of each rectified label."""

    @reads("match")
    def rescreen(evidence: Evidence, partition: Partition, targets: Targets, memory: Memory) -> tuple[Matched, Memory]:
        if evidence.match is None:
            return accept_all()(evidence, partition, targets, memory)
        score = evidence.match(np.arange(len(targets.soft)), targets.hard)
        is_match, memory = decide(score, partition, memory)
        return Matched(is_match, score), memory

    return rescreen
