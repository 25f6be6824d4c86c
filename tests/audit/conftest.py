"""A small audit with every status, made by hand."""

import numpy as np
import pytest

from audits import make_round
from srrs.audit.table import Audit, Rows
from srrs.records import Floats, Group, Ints, Round

NAMES = ("wolf", "husky", "nan")
SETTINGS = {"model": "bundled", "matcher": None, "method": "srrs", "seed": 1, "views": 4, "versions": {"srrs": "0.1.0"}}
AT = np.array([4, 2, 0, 3])
"""The user's row of each sample of the round: d, b, a, c."""


@pytest.fixture
def rows() -> Rows:
    """Five rows: a (clean), bad (unreadable), b (noisy), c (ambiguous), d (outside)."""
    return Rows(
        ids=("a", "bad", "b", "c", "d"),
        paths=("x/a.jpg", "x/bad.jpg", "x/b.jpg", None, "x/d.jpg"),
        given=np.array([0, 1, 0, 2, 1]),
        class_names=NAMES,
        issues=(None, "truncated image file", "", None, None),
    )


@pytest.fixture
def at() -> Ints:
    """The user's row of each sample of the round."""
    return AT


@pytest.fixture
def last_round() -> Round:
    """The four usable rows, in another order than the user's: d, b, a, c."""
    return make_round(
        [1, 0, 0, 2],
        [1, 1, 0, 2],
        [Group.OUTSIDE, Group.NOISY, Group.CLEAN, Group.AMBIGUOUS],
        np.array([0.2, 0.1, 0.9, 0.5]),
    )


@pytest.fixture
def predicted() -> dict[str, Ints]:
    """Predicted classes of d, b, a and c."""
    suggested, given = np.array([1, 1, 0, 2]), np.array([1, 0, 0, 2])
    return {"zero_shot": suggested, "macro": suggested, "micro": given}


@pytest.fixture
def features() -> Floats:
    """(4, 4) features of d, b, a and c."""
    made = np.eye(4, dtype=np.float32) + 0.1
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True))


@pytest.fixture
def audit(rows: Rows, last_round: Round, predicted: dict[str, Ints], features: Floats) -> Audit:
    return Audit.of(rows, AT, last_round, SETTINGS, predicted=predicted, features=features)
