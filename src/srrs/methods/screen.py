"""Screening stages. Each calls a rule of `srrs.screening`, which works on arrays, with fields of the evidence.

Every function here returns a stage of the type `srrs.methods.stages.Screen`.
"""

from typing import cast

import numpy as np

from srrs.core.mixture import normalize
from srrs.methods.memory import given, recall, votes
from srrs.methods.stages import Memory, Screen, reads
from srrs.records import Evidence, Floats, Group, Partition
from srrs.screening import detector, joapr, joint, mixtures, optimal_transport, pooled, predictions, similarity
from srrs.screening.common import LogRows, counted_noise
from srrs.screening.decision import Trust, decide
from srrs.screening.decision.partition import partition_of
from srrs.screening.optimal_transport import Cost

EPOCHS = 50
"""Number of epochs of the published schedule of Robust Similarity."""


def trust_all() -> Screen:
    """Return the stage that calls every given label clean.

    `p_clean` is the mean probability of the given label over the voters (the tuners with `votes=True`).
    """

    @reads("logits")
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        p_clean = predictions.given_probs(votes(evidence), evidence.labels)
        group = np.full(len(p_clean), Group.CLEAN, dtype=np.int8)
        return Partition(group, p_clean, counted_noise(p_clean, group)), memory

    return screen


def bands(theta: float = 0.01, remember: int = 1, seed: int = 0) -> Screen:
    """Return the stage that splits the samples by their loss into clean, ambiguous and noisy, as in the published SRRS.

    Two Gaussians are fitted to the loss, and two thresholds separate the groups: the losses at which the density of a
    Gaussian is `theta`. The loss is averaged over the last `remember` screenings, as in the released code. `seed`
    initializes the mixture. See `srrs.screening.mixtures.gmm_bands`.
    """

    @reads("logits")
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        loss, history, memory = _loss(evidence, memory, remember)
        return mixtures.gmm_bands(loss, theta=theta, history=history, seed=seed), memory

    return screen


def two_way(threshold: float = 0.5, remember: int = 1, seed: int = 0) -> Screen:
    """Return the stage that splits the samples into clean and noisy ones by the mixture of `bands`.

    A label is clean if the Gaussian with the lower mean has at least the probability `threshold`. See
    `srrs.screening.mixtures.gmm_two_way`.
    """

    @reads("logits")
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        loss, history, memory = _loss(evidence, memory, remember)
        return mixtures.gmm_two_way(loss, threshold=threshold, history=history, seed=seed), memory

    return screen


def _loss(evidence: Evidence, memory: Memory, remember: int) -> tuple[Floats, Floats, Memory]:
    """Return the screening loss (N,), its scaled history (K, N), and the memory with the scaled loss added."""
    loss = predictions.screening_losses(votes(evidence), evidence.labels)
    history, memory = recall(memory, "losses", normalize(loss), remember)
    return loss, history, memory


def joint_thresholds(remember: int = 1, seed: int = 0) -> Screen:
    """Return the stage with JoAPR's two thresholds on cross-entropy plus entropy.

    The loss is averaged over the last `remember` screenings. `seed` initializes the mixture. See
    `srrs.screening.joapr`.
    """

    @reads("logits")
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        logits = votes(evidence)
        loss = predictions.screening_losses(logits, evidence.labels) + predictions.mean_entropy(logits)
        history, memory = recall(memory, "losses", normalize(loss), remember)
        rate = float(np.ravel(memory.get("noise_rate", 0.5))[0])
        partition, rate = joapr.joint_thresholds(loss, history=history, rate=rate, seed=seed)
        return partition, {**memory, "noise_rate": np.array([rate])}

    return screen


def transition(
    temper: float = 0.3,
    matched: tuple[float, float] = (0.2, 0.2),
    visual: float = 3.0,
    shrink: float = 12.0,
    rounds: int = 3,
    fold_count: int = 5,
    prior: tuple[float, float] = (1.0, 1.0),
    seed: int = 0,
) -> Screen:
    """Return the stage that decides by a transition matrix from the true class to the given label.

    See `srrs.screening.pooled.by_transition` for the arguments.
    """

    @reads("zero_shot", "features", *(("match",) if matched[1] else ()))
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        partition = pooled.by_transition(
            evidence.labels, given(evidence, "zero_shot"), given(evidence, "features"), evidence.keys,
            match=evidence.match, temper=temper, matched=matched, visual=visual, shrink=shrink, rounds=rounds,
            fold_count=fold_count, prior=prior, seed=seed,
        )  # fmt: skip
        return partition, memory

    return screen


def decision(trust: Trust = "auto", seed: int = 0) -> Screen:
    """Return the stage that decides by all sources of evidence, with weights that are estimated from the data.

    `trust` determines which hypothesis decides, and `seed` the folds and draws. See `srrs.screening.decision.decide`.
    """

    @reads("zero_shot", "features", "match", can_lack=("zero_shot", "features", "match"))
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        # The logarithm is computed for the rows that are read. An array of all logarithms would take gigabytes.
        zero_shot = None if evidence.zero_shot is None else cast(Floats, LogRows(evidence.zero_shot))
        verdicts = decide(
            evidence.labels, classes=evidence.classes, features=evidence.features, zero_shot=zero_shot,
            match=evidence.match, keys=evidence.keys, trust=trust, seed=seed,
        )  # fmt: skip
        return partition_of(verdicts, 0 if evidence.features is None else evidence.features.shape[1]), memory

    return screen


def robust_similarity(rounds: int = 25, threshold: float = 0.5, seed: int = 0) -> Screen:
    """Return the stage that splits the samples by similarity to prompts and to images of the same label.

    The weight of the similarity to the prompts is `0.2 exp(epoch / 35)` in the published schedule of 50 epochs. Here it
    grows from 0.2 to 0.83 over the `rounds` screenings of a run. See `srrs.screening.similarity` for `threshold` and
    `seed`.
    """

    @reads("logits", "features")
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        count = memory.get("similarity_screenings", np.zeros(1, np.int64))
        weight = min(1.0, 0.2 * np.exp(float(count[0]) / rounds * EPOCHS / 35))
        probs = predictions.mean_probs(votes(evidence))
        partition = similarity.robust_similarity(
            evidence.labels, probs, given(evidence, "features"), weight=weight, threshold=threshold, seed=seed
        )
        return partition, {**memory, "similarity_screenings": count + 1}

    return screen


def small_joint(noise_rate: float, agreement: float = 0.5) -> Screen:
    """Return the stage that calls the share `noise_rate` of samples with the largest joint loss noisy (JoCoR).

    See `srrs.screening.joint.small_joint` for the arguments and the errors.
    """
    joint.check_rate(noise_rate)

    @reads("logits")
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        first, second = votes(evidence)[:2]
        return joint.small_joint(evidence.labels, first, second, noise_rate=noise_rate, agreement=agreement), memory

    return screen


def detected(right: str, wrong: str, threshold: float = 0.5) -> Screen:
    """Return the stage that splits the samples by two tuners that detect right and wrong labels.

    `right` and `wrong` are the names of these tuners in the method. A label is clean if its probability to be right is
    above `threshold`. See `srrs.screening.detector`. The stage raises ValueError if a tuner is missing.
    """

    @reads("logits")
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        if missing := {right, wrong} - evidence.logits.keys():
            raise ValueError(f"screening by detectors needs tuners called {sorted(missing)}")
        logits = evidence.logits
        return detector.by_detectors(evidence.labels, logits[right], logits[wrong], threshold=threshold), memory

    return screen


def transport(reg: float = 0.01, cost: Cost = "log") -> Screen:
    """Return the stage that calls a label clean if optimal transport assigns the sample to its class (NLPrompt).

    See `srrs.screening.optimal_transport.transport` for the arguments.
    """

    @reads("logits")
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        probs = predictions.mean_probs(votes(evidence))
        return optimal_transport.transport(evidence.labels, probs, reg=reg, cost=cost), memory

    return screen
