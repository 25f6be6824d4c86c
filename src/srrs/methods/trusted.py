"""Labels that a person has verified, and a method whose stages treat these labels as correct. N samples, C classes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from srrs.core.labels import one_hot
from srrs.core.many import ComputedRows, TopClasses
from srrs.methods.stages import Memory, Method, Stage, read_by, reads, required_by
from srrs.records import Bools, Evidence, Floats, Group, Ints, Matched, Partition, Targets

REST = 1e-6
"""Share of the zero-shot probability that is spread over all classes, for an image with a verified label."""


@dataclass(frozen=True)
class VerifiedLabel:
    """The class that a person decided on, and the class that was given before. They may be the same."""

    label: int
    """The verified class."""
    given: int
    """The class that was given before."""


def trusting(method: Method, verified: Mapping[int, VerifiedLabel]) -> Method:
    """Return the method with stages that treat verified labels as correct.

    `verified` maps the positions of samples in the evidence to their verified labels. The labels of the evidence must
    already be the verified ones. Verified labels are clean with certainty, and training uses them.

    A screening stage that returns a posterior estimates which classes are confused with each other. Such a stage gets
    the labels that were given before, because these labels show the confusion. Any other screening stage gets the
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
    """Return an array (count,) that is true at the positions `rows`."""
    chosen = np.zeros(count, dtype=bool)
    chosen[rows] = True
    return chosen


def _as(stage: Callable[..., Any]) -> Callable[[Stage], Stage]:
    """Return a decorator that declares the same fields as `stage` does."""
    return reads(*read_by(stage), can_lack=read_by(stage) - required_by(stage))


def _with(array: Any, rows: Ints, values: Any) -> Any:
    """Return a copy of an array (N,) with other values at the positions `rows`. Return None if the array is None."""
    if array is None:
        return None
    changed = np.array(array)
    changed[rows] = values
    return changed


def _certain(probs: Floats, rows: Ints, labels: Ints, rest: float = 0.0) -> Floats:
    """Return the probabilities (N, C), in which the verified labels (n,) are certain at the positions `rows` (n,).

    The share `rest` of these probabilities is spread over all classes.
    """
    classes = probs.shape[1]
    if isinstance(probs, TopClasses):
        return cast(Floats, probs.with_certain(rows, labels))
    values = one_hot(labels, classes) * (1 - rest) + rest / classes
    if isinstance(probs, ComputedRows):
        return cast(Floats, probs.with_rows(rows, values))
    certain = np.array(probs)
    certain[rows] = values
    return certain
