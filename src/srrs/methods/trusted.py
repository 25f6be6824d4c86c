"""Labels that a person has decided on, under any method: a method whose stages take them for certain."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from srrs.core.labels import one_hot
from srrs.methods.stages import Memory, Method
from srrs.records import Bools, Evidence, Floats, Group, Ints, Matched, Partition, Targets

SURE = 1e-6
"""What the zero-shot prediction of a decided photograph leaves to all other classes together."""


@dataclass(frozen=True)
class Settled:
    """The class that a person decided on, and the one that was given before; they may be the same."""

    label: int
    given: int


def trusting(method: Method, decided: Mapping[str, Settled]) -> Method:
    """The method with labels it cannot doubt, by the id of their photograph.

    Those count as clean with certainty, are learned as decided, and tell screening what they show, so that class means
    and the like learn from them. Screening that models how labels go wrong (it gives a posterior) is shown the labels
    as they were given, from which it learns how they did; any other is shown the decided ones. The labels of the task
    must already be the decided ones.
    """
    if not decided:
        return method

    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        rows, labels = _rows(evidence, decided)
        before = [
            decided[id].given if id in decided else label
            for id, label in zip(evidence.ids, evidence.labels, strict=True)
        ]
        told = replace(evidence, zero_shot=_certain(evidence.zero_shot, rows, labels, SURE))
        partition, after = method.screen(replace(told, labels=np.array(before, dtype=np.int64)), memory)
        if partition.posterior is None:
            partition, after = method.screen(told, memory)
        posterior = None if partition.posterior is None else _certain(partition.posterior, rows, labels)
        group, p_clean = np.where(rows, Group.CLEAN, partition.group), np.where(rows, 1.0, partition.p_clean)
        group = group.astype(partition.group.dtype)
        return replace(partition, group=group, p_clean=p_clean, posterior=posterior), after

    def rectify(evidence: Evidence, partition: Partition, memory: Memory) -> tuple[Targets, Memory]:
        targets, memory = method.rectify(evidence, partition, memory)
        rows, labels = _rows(evidence, decided)
        return Targets(_certain(targets.soft, rows, labels), np.where(rows, 1.0, targets.weight)), memory

    def rescreen(evidence: Evidence, partition: Partition, targets: Targets, memory: Memory) -> tuple[Matched, Memory]:
        matched, memory = method.rescreen(evidence, partition, targets, memory)
        return replace(matched, is_match=matched.is_match | _rows(evidence, decided)[0]), memory

    return replace(method, screen=screen, rectify=rectify, rescreen=rescreen)


def _rows(evidence: Evidence, decided: Mapping[str, Settled]) -> tuple[Bools, Ints]:
    """(N,) which samples are decided, and their classes; -1 for the others."""
    labels = np.array([decided[id].label if id in decided else -1 for id in evidence.ids], dtype=np.int64)
    return labels >= 0, labels


def _certain(probs: Floats, rows: Bools, labels: Ints, left: float = 0.0) -> Floats:
    """The probabilities (N, C) with all but `left` on the decided class."""
    classes = probs.shape[1]
    sure = one_hot(labels[rows], classes) * (1 - left) + left / classes
    certain = np.array(probs)
    certain[rows] = sure
    return certain
