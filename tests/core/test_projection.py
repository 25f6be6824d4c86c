"""Very long features are worked on in few directions: no D x D matrix is made, and wrong labels are still found."""

import tracemalloc

import numpy as np
import pytest

from srrs import audit_labels
from srrs.core import projection as of_long
from srrs.core.discriminant import out_of_fold
from srrs.core.projection import projection
from srrs.screening.decision.discriminant import fit_centering, fold_scatter

SIZE = 3_000


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch):
    """Projection from a length that keeps the test small."""
    monkeypatch.setattr(of_long, "MOST", 200)
    monkeypatch.setattr(of_long, "KEPT", 100)
    monkeypatch.setattr("srrs.screening.decision.partition.MOST", 200)
    monkeypatch.setattr("srrs.screening.decision.partition.KEPT", 100)
    projection.cache_clear()
    yield
    projection.cache_clear()


@pytest.fixture
def labeled() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (N, SIZE) of three classes, their true labels, and given labels, of which a tenth is wrong."""
    rng = np.random.default_rng(0)
    truth = np.arange(150) % 3
    features = rng.standard_normal((150, SIZE)) + 4 * rng.standard_normal((3, SIZE))[truth]
    given = np.where(np.arange(150) % 10 == 0, (truth + 1) % 3, truth)
    return features.astype(np.float32), truth, given


def test_ordinary_features_are_not_projected() -> None:
    assert projection(768) is None
    assert projection(4_096) is None


def test_cosines_stay_and_the_matrix_depends_on_the_length_alone(short) -> None:
    features = np.random.default_rng(1).standard_normal((2, SIZE)).astype(np.float32)
    matrix = projection(SIZE)
    assert matrix is not None
    lengths = np.linalg.norm(features @ matrix, axis=1) / np.linalg.norm(features, axis=1)
    assert np.abs(lengths - 1).max() < 0.3
    projection.cache_clear()
    np.testing.assert_array_equal(projection(SIZE), matrix)


def test_long_features_make_no_square_matrix(short, labeled) -> None:
    features, _, given = labeled
    tracemalloc.start()
    fold_scatter(fit_centering(features)(features), np.arange(150) % 5, 5)
    out_of_fold(features, np.eye(3)[given], np.arange(150) % 5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < SIZE * SIZE * 4 / 2


def test_wrong_labels_are_found_and_the_projection_is_told(short, labeled) -> None:
    features, truth, given = labeled
    audit = audit_labels(given, features=features)
    assert (audit.round.targets.hard == truth).all()
    assert "Features of 3,000 numbers were projected onto 100 random directions to save memory." in [
        finding.text for finding in audit.findings
    ]
