"""Labels that a person has decided on, under any method: a method whose stages take them for certain."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from srrs.core.labels import one_hot
from srrs.methods.stages import Memory, Method
from srrs.records import Bools, Evidence, Floats, Group, Ints, Matched, Partition, Targets

SURE = 1e-6
"""What the zero-shot prediction of a decided photograph leaves to all other classes together."""


def trusting(method: Method, decided: Mapping[str, int]) -> Method:
    """The method with labels it cannot doubt: `decided` holds the class of photographs by their id.

    Those count as clean with certainty, are learned as decided, and say to screening what they show, so that class
    means and the like learn from them. The labels of the task must already be the decided ones.
    """
    if not decided:
        return method

    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        rows, labels = _rows(evidence, decided)
        zero_shot = _certain(evidence.zero_shot, rows, labels, SURE)
        partition, memory = method.screen(replace(evidence, zero_shot=zero_shot), memory)
        posterior = None if partition.posterior is None else _certain(partition.posterior, rows, labels)
        group, p_clean = np.where(rows, Group.CLEAN, partition.group), np.where(rows, 1.0, partition.p_clean)
        group = group.astype(partition.group.dtype)
        return replace(partition, group=group, p_clean=p_clean, posterior=posterior), memory

    def rectify(evidence: Evidence, partition: Partition, memory: Memory) -> tuple[Targets, Memory]:
        targets, memory = method.rectify(evidence, partition, memory)
        rows, labels = _rows(evidence, decided)
        return Targets(_certain(targets.soft, rows, labels), np.where(rows, 1.0, targets.weight)), memory

    def rescreen(evidence: Evidence, partition: Partition, targets: Targets, memory: Memory) -> tuple[Matched, Memory]:
        matched, memory = method.rescreen(evidence, partition, targets, memory)
        return replace(matched, is_match=matched.is_match | _rows(evidence, decided)[0]), memory

    return replace(method, screen=screen, rectify=rectify, rescreen=rescreen)


def _rows(evidence: Evidence, decided: Mapping[str, int]) -> tuple[Bools, Ints]:
    """(N,) which samples are decided, and their classes; -1 for the others."""
    labels = np.array([decided.get(id, -1) for id in evidence.ids], dtype=np.int64)
    return labels >= 0, labels


def _certain(probs: Floats, rows: Bools, labels: Ints, left: float = 0.0) -> Floats:
    """The probabilities (N, C) with all but `left` on the decided class."""
    classes = probs.shape[1]
    sure = one_hot(labels[rows], classes) * (1 - left) + left / classes
    certain = np.array(probs)
    certain[rows] = sure
    return certain
