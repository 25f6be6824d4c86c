"""A small audit with every status, made by hand."""

import numpy as np
import pytest

from srrs.audit.table import Audit, Rows
from srrs.records import Evidence, Group, Matched, NoiseEstimate, Partition, Round, Targets

NAMES = ("wolf", "husky", "nan")
SETTINGS = {"model": "bundled", "matcher": None, "method": "srrs", "seed": 1, "views": 4, "versions": {"srrs": "0.1.0"}}


def one_hot(classes, rest=0.1):
    """(N, 3) rows that favour the classes given."""
    return np.eye(3)[classes] * (1 - 1.5 * rest) + rest / 2


def make_round(ids, labels, suggested, group, quality, *, learners=2, thresholds=((0.3, 0.7),)):
    n = len(ids)
    probs = np.stack([one_hot(suggested), one_hot(labels)][:learners], 1)
    features = np.eye(n, 4, dtype=np.float32) + 0.1
    evidence = Evidence(ids, np.array(labels), probs, one_hot(suggested), features, 1 - quality, np.ones(n))
    noise = NoiseEstimate(0.25, 0.22, 0.29)
    partition = Partition(np.array(group), quality, np.array(thresholds), noise)
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
    """The four usable rows, in another order than the user's."""
    return make_round(
        ("d", "b", "a", "c"),
        [1, 0, 0, 2],
        [1, 1, 0, 2],
        [Group.OUTSIDE, Group.NOISY, Group.CLEAN, Group.AMBIGUOUS],
        np.array([0.2, 0.1, 0.9, 0.5]),
    )


@pytest.fixture
def audit(rows, last_round):
    return Audit.of(rows, last_round, SETTINGS, neighbours_agree=np.array([0.0, 0.2, 1.0, 0.5]))
