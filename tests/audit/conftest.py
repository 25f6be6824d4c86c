"""A small audit with every status, made by hand."""

from dataclasses import replace

import numpy as np
import pytest

from audits import audit_of
from srrs.audit.table import Rows
from srrs.records import Evidence, Group, Matched, NoiseEstimate, Partition, Round, Targets, Thresholds

NAMES = ("wolf", "husky", "nan")
SETTINGS = {"model": "bundled", "matcher": None, "method": "srrs", "seed": 1, "views": 4, "versions": {"srrs": "0.1.0"}}


def one_hot(classes, rest=0.1):
    """(N, 3) rows that favor the classes given."""
    return np.eye(3)[classes] * (1 - 1.5 * rest) + rest / 2


def make_round(labels, suggested, group, quality):
    n = len(labels)
    evidence = Evidence(np.arange(n, dtype=np.uint64), np.array(labels), 3)
    thresholds = Thresholds("p_clean", np.array([0.3]), np.array([0.7]), quality)
    partition = Partition(np.array(group), quality, NoiseEstimate(0.25, 0.22, 0.29), thresholds)
    match = np.where(np.arange(n) % 2 == 0, 0.5, np.nan)
    return Round(evidence, partition, Targets(one_hot(suggested), np.ones(n)), Matched(match > 0, match), quality)


@pytest.fixture
def rows():
    """Five rows: a (clean), bad (unreadable), b (noisy), c (ambiguous), d (outside)."""
    return Rows(
        ids=("a", "bad", "b", "c", "d"),
        paths=("x/a.jpg", "x/bad.jpg", "x/b.jpg", None, "x/d.jpg"),
        given=np.array([0, 1, 0, 2, 1]),
        class_names=NAMES,
        issues=(None, "truncated image file", "", None, None),
    )


@pytest.fixture
def last_round():
    """The four usable rows, in another order than the user's: d, b, a, c."""
    return make_round(
        [1, 0, 0, 2],
        [1, 1, 0, 2],
        [Group.OUTSIDE, Group.NOISY, Group.CLEAN, Group.AMBIGUOUS],
        np.array([0.2, 0.1, 0.9, 0.5]),
    )


@pytest.fixture
def audit(rows, last_round):
    audit = audit_of(rows, last_round, SETTINGS)
    return replace(audit, table=audit.table.assign(neighbors_agree=[1.0, np.nan, 0.2, 0.5, 0.0]))
