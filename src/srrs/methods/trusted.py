"""Labels that a person has verified: a method whose stages treat them as correct."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from srrs.core.labels import one_hot
from srrs.core.many import ComputedRows, TopClasses
from srrs.methods.stages import Memory, Method, Stage, read_by, reads, required_by
from srrs.records import Bools, Evidence, Floats, Group, Ints, Matched, Partition, Targets

REST = 1e-6
"""Zero-shot probability of all other classes together, for an image with a verified label."""


@dataclass(frozen=True)
class VerifiedLabel:
    """The class that a person decided on, and the class that was given before. They may be the same."""

    label: int
    given: int


def trusting(method: Method, verified: Mapping[int, VerifiedLabel]) -> Method:
    """Return the method with verified labels. `verified` maps rows of the evidence to them.

    Verified labels are clean with certainty, and training uses them. The labels of the evidence must already be the
    verified ones. If the screening stage returns a posterior, it models which classes are confused. Such a stage gets
    the labels that were given before, so that it learns the confusion from them. Any other screening stage gets the
    verified labels.
    """
    if not verified:
        return method
    rows = np.array(sorted(verified), dtype=np.int64)
    labels = np.array([verified[row].label for row in rows], dtype=np.int64)
    before = np.array([verified[row].given for row in rows], dtype=np.int64)

    @_as(method.screen)
    def screen(evidence: Evidence, memory: Memory) -> tuple[Partition, Memory]:
        zero_shot = None if evidence.zero_shot is None else _certain(evidence.zero_shot, rows, labels, REST)
        told = replace(evidence, zero_shot=zero_shot)
        as_given = np.array(evidence.labels)
        as_given[rows] = before
        partition, after = method.screen(replace(told, labels=as_given), memory)
        if partition.posterior is None:
            partition, after = method.screen(told, memory)
        posterior = None if partition.posterior is None else _certain(partition.posterior, rows, labels)
        group, p_clean = np.array(partition.group), np.array(partition.p_clean)
        group[rows], p_clean[rows] = Group.CLEAN, 1.0
        return replace(
            partition, group=group, p_clean=p_clean, posterior=posterior,
            quality=_with(partition.quality, rows, 1.0), rectified=_with(partition.rectified, rows, labels),
        ), after  # fmt: skip

    @_as(method.rectify)
    def rectify(evidence: Evidence, partition: Partition, memory: Memory) -> tuple[Targets, Memory]:
        targets, memory = method.rectify(evidence, partition, memory)
        weight = np.array(targets.weight)
        weight[rows] = 1.0
        return Targets(_certain(targets.soft, rows, labels), weight, _with(targets.labels, rows, labels)), memory

    @_as(method.rescreen)
    def rescreen(evidence: Evidence, partition: Partition, targets: Targets, memory: Memory) -> tuple[Matched, Memory]:
        matched, memory = method.rescreen(evidence, partition, targets, memory)
        return replace(matched, is_match=matched.is_match | _at(rows, len(evidence.labels))), memory

    return replace(method, screen=screen, rectify=rectify, rescreen=rescreen)


def _at(rows: Ints, count: int) -> Bools:
    chosen = np.zeros(count, dtype=bool)
    chosen[rows] = True
    return chosen


def _as(stage: Callable[..., Any]) -> Callable[[Stage], Stage]:
    """Declare of a stage that it reads what another one reads."""
    return reads(*read_by(stage), can_lack=read_by(stage) - required_by(stage))


def _with(array: Any, rows: Ints, values: Any) -> Any:
    """Return a copy of an array (N,) with other values in some rows; None of None."""
    if array is None:
        return None
    changed = np.array(array)
    changed[rows] = values
    return changed


def _certain(probs: Floats, rows: Ints, labels: Ints, rest: float = 0.0) -> Floats:
    """Return the probabilities (N, C) with all but `rest` on the verified class of each of the rows."""
    classes = probs.shape[1]
    if isinstance(probs, TopClasses):
        return cast(Floats, probs.with_certain(rows, labels))
    values = one_hot(labels, classes) * (1 - rest) + rest / classes
    if isinstance(probs, ComputedRows):
        return cast(Floats, probs.with_rows(rows, values))
    certain = np.array(probs)
    certain[rows] = values
    return certain
