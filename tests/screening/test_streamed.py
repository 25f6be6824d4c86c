"""Screening in blocks of rows against screening at once."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from srrs.core import blocks
from srrs.records import Group, MatchScores, Partition
from srrs.screening import streamed
from srrs.screening.mixtures import gmm_bands
from srrs.screening.pooled import CERTAIN, by_transition

N, CLASSES, SIZE = 3000, 8, 32


@dataclass(frozen=True)
class Arrays:
    labels: np.ndarray
    zero_shot: np.ndarray
    features: np.ndarray
    keys: np.ndarray
    match: MatchScores | None = None


def screened(given: Arrays, **options: int) -> Partition:
    return by_transition(given.labels, given.zero_shot, given.features, given.keys, match=given.match, **options)


@pytest.fixture
def in_blocks(monkeypatch) -> None:
    monkeypatch.setattr(blocks, "WHOLE", 1000)
    monkeypatch.setattr(blocks, "ROWS", 700)


@pytest.fixture
def many(keys) -> Arrays:
    """3,000 samples of 8 classes, a quarter of the labels wrong."""
    generator = np.random.default_rng(0)
    true = generator.integers(0, CLASSES, N)
    centers = generator.standard_normal((CLASSES, SIZE))
    features = centers[true] + 1.5 * generator.standard_normal((N, SIZE)) + 0.5
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    logits = 3 * (np.eye(CLASSES)[true] + generator.standard_normal((N, CLASSES)))
    zero_shot = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.where(generator.random(N) < 0.25, (true + 1) % CLASSES, true)
    return Arrays(labels, zero_shot.astype(np.float32), features.astype(np.float16), keys(N))


def same_verdicts(found: Partition, exact: Partition, atol: float) -> None:
    np.testing.assert_allclose(found.p_clean, exact.p_clean, atol=atol)
    far = (np.abs(exact.p_clean - CERTAIN) > atol) & (np.abs(exact.p_clean - 1 + CERTAIN) > atol)
    assert far.mean() > 0.9
    np.testing.assert_array_equal(found.group[far], exact.group[far])
    assert found.noise.rate == pytest.approx(exact.noise.rate, abs=atol)


@pytest.mark.parametrize("large", [False, True])
def test_images_that_are_all_alike_are_judged_by_the_zero_shot_prediction(many, request, large: bool) -> None:
    alike = replace(many, features=np.ones_like(many.features))
    if large:
        request.getfixturevalue("in_blocks")
    same_verdicts(screened(alike), screened(alike, rounds=0), atol=5e-3)


@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_blocks_give_the_verdicts_of_one_block(many, request, rounds: int) -> None:
    exact = screened(many, rounds=rounds)
    request.getfixturevalue("in_blocks")
    found = screened(many, rounds=rounds)
    same_verdicts(found, exact, atol=5e-3)
    np.testing.assert_allclose(found.posterior, exact.posterior, atol=5e-3)
    assert len(np.unique(exact.group)) == 3


def test_class_means_of_a_share_of_the_samples_change_little(many, monkeypatch, in_blocks) -> None:
    every = screened(many)
    monkeypatch.setattr(streamed, "SAMPLE", 1200)
    monkeypatch.setattr(streamed, "SAMPLE_OF_CLASS", 1)
    some = screened(many)
    assert 0 < np.abs(some.p_clean - every.p_clean).mean() < 0.02
    assert (some.group == every.group).mean() > 0.95


def test_a_matcher_is_asked_in_blocks_as_at_once(many, request) -> None:
    scores = np.random.default_rng(1).uniform(0.1, 0.9, (N, CLASSES))
    matched = replace(many, match=lambda rows, classes: scores[rows, classes])
    exact = screened(matched)
    request.getfixturevalue("in_blocks")
    found = screened(matched)
    same_verdicts(found, exact, atol=5e-3)


def test_the_verdict_in_blocks_follows_a_sample_wherever_it_stands(many, in_blocks) -> None:
    order = np.random.default_rng(2).permutation(N)
    names = ("labels", "zero_shot", "features", "keys")
    moved = replace(many, **{name: getattr(many, name)[order] for name in names})
    here, there = screened(many), screened(moved)
    np.testing.assert_allclose(there.p_clean, here.p_clean[order], atol=1e-3)


def test_files_of_features_may_be_read_only(many, tmp_path, in_blocks) -> None:
    np.save(tmp_path / "features.npy", many.features)
    mapped = replace(many, features=np.load(tmp_path / "features.npy", mmap_mode="r"))
    np.testing.assert_array_equal(screened(mapped).p_clean, screened(many).p_clean)


def test_the_published_bands_in_blocks_are_those_at_once(request) -> None:
    humps = np.random.default_rng(3)
    loss = np.where(humps.random(N) < 0.7, humps.normal(1, 0.3, N), humps.normal(5, 1, N))
    exact = gmm_bands(loss)
    request.getfixturevalue("in_blocks")
    found = gmm_bands(loss)
    np.testing.assert_allclose(found.p_clean, exact.p_clean, atol=5e-3)
    np.testing.assert_allclose(found.thresholds.lower, exact.thresholds.lower, atol=1e-3)
    np.testing.assert_allclose(found.thresholds.upper, exact.thresholds.upper, atol=1e-3)
    assert (found.group == exact.group).mean() > 0.998


def test_labels_without_noise_are_kept_in_blocks(many, in_blocks) -> None:
    true = many.zero_shot.argmax(1)
    found = screened(replace(many, labels=true))
    assert (found.group == Group.CLEAN).mean() > 0.95
