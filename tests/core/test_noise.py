from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, truncnorm

from srrs.core.noise import NoiseSpec, by_matrix, derange, flip, instance_dependent, long_tail, to_confused, to_similar

Spec = NoiseSpec.parse


def keys(n: int) -> list[str]:
    return [f"photo-{i * 7919 % 100_003}.jpg" for i in range(n)]


def labels_of(n: int, classes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, classes, n)


@pytest.mark.parametrize(
    ("text", "kind", "rate"), [("sym:0.5", "sym", 0.5), (" pair:0 ", "pair", 0), ("sym:1", "sym", 1)]
)
def test_a_spec_is_read_and_written(text: str, kind: str, rate: float) -> None:
    spec = Spec(text)
    assert (spec.kind, spec.rate) == (kind, rate)
    assert Spec(str(spec)) == spec


@pytest.mark.parametrize("text", ["", "sym", "sym:", "sym:half", "asym:0.5", "sym:1.5", "pair:-0.1", "sym:nan", "0.5"])
def test_any_other_spec_is_answered_with_what_is_expected(text: str) -> None:
    with pytest.raises(ValueError, match=r"Expected noise as kind:rate.*sym.*pair.*as in sym:0\.5, but got"):
        Spec(text)


@pytest.mark.parametrize(
    ("text", "kind", "rate", "source"),
    [
        ("instance:0.3", "instance", 0.3, ""),
        ("open:0.2", "open", 0.2, ""),
        ("open:0.2:C:/photos", "open", 0.2, "C:/photos"),
        ("matrix:some/where.csv", "matrix", None, "some/where.csv"),
        ("human:C:/labels.csv", "human", None, "C:/labels.csv"),
        ("human", "human", None, ""),
        ("near:0.2", "near", 0.2, ""),
        ("half:0.25", "half", 0.25, ""),
        ("inst:0.05", "inst", 0.05, ""),
    ],
)
def test_a_spec_names_its_file_where_it_has_one(text: str, kind: str, rate: float | None, source: str) -> None:
    spec = Spec(text)
    assert (spec.kind, spec.rate, spec.source) == (kind, rate, source)
    assert str(spec) == text


@pytest.mark.parametrize("text", ["instance", "instance:0.3:x", "open:x", "sym:0.5:x", "matrix", "matrix:", "people"])
def test_a_spec_with_too_much_or_too_little_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"open:0\.2:FOLDER.*matrix:FILE.*human:FILE or human.*but got '" + text):
        Spec(text)


@settings(max_examples=50)
@given(st.integers(1, 60), st.integers(2, 6), st.floats(0, 1), st.sampled_from(["sym", "pair"]), st.integers(0, 99))
def test_exactly_the_rounded_share_is_wrong_and_follows_a_permutation(
    n: int, classes: int, rate: float, kind: str, seed: int
) -> None:
    labels, spec = labels_of(n, classes, seed), Spec(f"{kind}:{rate!r}")
    noisy = flip(labels, keys(n), classes, spec, seed)
    assert (noisy != labels).sum() == round(rate * n)
    assert ((noisy >= 0) & (noisy < classes)).all()
    perm = np.random.default_rng(seed).permutation(n)
    shuffled = flip(labels[perm], [keys(n)[i] for i in perm], classes, spec, seed)
    np.testing.assert_array_equal(shuffled, noisy[perm])


def test_pair_noise_names_the_next_class() -> None:
    labels = labels_of(200, 5)
    noisy = flip(labels, keys(200), 5, Spec("pair:0.4"), 1)
    wrong = noisy != labels
    np.testing.assert_array_equal(noisy[wrong], (labels[wrong] + 1) % 5)


def test_symmetric_noise_is_uniform_over_the_other_classes() -> None:
    labels = np.full(4000, 2)
    noisy = flip(labels, keys(4000), 5, Spec("sym:1"), 3)
    counts = np.bincount(noisy, minlength=5)
    assert counts[2] == 0
    assert chisquare(np.delete(counts, 2)).pvalue > 0.001


def test_more_noise_keeps_what_was_already_wrong() -> None:
    labels = labels_of(100, 4)
    little, much = (flip(labels, keys(100), 4, Spec(spec), 5) for spec in ("sym:0.25", "sym:0.75"))
    wrong = little != labels
    np.testing.assert_array_equal(much[wrong], little[wrong])


def test_another_seed_draws_other_labels_and_the_input_stays() -> None:
    labels = labels_of(100, 4)
    before = labels.copy()
    a, b = (flip(labels, keys(100), 4, Spec("sym:0.5"), seed) for seed in (1, 2))
    assert (a != b).any()
    np.testing.assert_array_equal(labels, before)


def test_labels_without_samples_stay_empty() -> None:
    assert flip(np.array([], int), [], 3, Spec("sym:0.5"), 0).shape == (0,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: flip(np.array([0, 1]), ["a", "a"], 2, Spec("sym:0.5"), 0), "some keys repeat"),
        (lambda: flip(np.array([0, 1]), ["a"], 2, Spec("sym:0.5"), 0), "1 keys for 2 labels"),
        (lambda: flip(np.array([0, 2]), ["a", "b"], 2, Spec("sym:0.5"), 0), r"labels in 0\.\.1"),
        (lambda: flip(np.array([0, 0]), ["a", "b"], 1, Spec("sym:0.5"), 0), "at least 2 classes"),
        (lambda: flip(np.array([0, 1]), ["a", "b"], 2, Spec("open:0.5"), 0), "sym or pair to flip .* got open:0.5"),
        (lambda: derange(np.array([0, 3, 3]), np.random.default_rng(0)), "more than half .* 3 is 2 of 3"),
        (lambda: by_matrix(np.array([0]), ["a"], np.array([[1.0, 0], [0.5, 0.4]]), 0), "row 1 is not"),
        (lambda: by_matrix(np.array([0]), ["a"], np.ones((1, 2)), 0), r"shape \(C, C\)"),
        (lambda: instance_dependent(np.ones((1, 2)), np.array([0]), ["a"], 2, 1.5, 0), "rate from 0 to 1"),
    ],
)
def test_what_cannot_be_flipped_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@given(st.lists(st.integers(0, 4), max_size=40), st.integers(0, 99))
def test_a_derangement_exchanges_labels_and_leaves_none(labels: list[int], seed: int) -> None:
    assume(all(2 * labels.count(label) <= len(labels) for label in labels))
    moved = derange(np.array(labels, int), np.random.default_rng(seed))
    assert (moved != labels).all()
    assert sorted(moved) == sorted(labels)


def test_a_derangement_sends_each_label_to_all_others_alike() -> None:
    generator, labels = np.random.default_rng(0), np.repeat(np.arange(4), 3)
    moved = np.concatenate([derange(labels, generator)[:3] for _ in range(600)])
    assert chisquare(np.bincount(moved)[1:]).pvalue > 0.001


def test_a_matrix_is_met_in_frequency_and_never_in_its_zeros() -> None:
    matrix = np.array([[0.7, 0.3, 0], [0, 0.2, 0.8], [0, 0, 1]])
    labels = np.repeat(np.arange(3), 3000)
    noisy = by_matrix(labels, keys(9000), matrix, 0)
    found = np.array([np.bincount(noisy[labels == c], minlength=3) / 3000 for c in range(3)])
    np.testing.assert_allclose(found, matrix, atol=0.03)
    assert (found[matrix == 0] == 0).all()


def test_a_matrix_and_pictures_are_drawn_by_key() -> None:
    labels, perm = labels_of(60, 3), np.random.default_rng(9).permutation(60)
    features = np.random.default_rng(1).normal(size=(60, 8))
    shuffled_keys = [keys(60)[i] for i in perm]
    matrix = np.full((3, 3), 1 / 3)
    by_row = by_matrix(labels, keys(60), matrix, 4)
    np.testing.assert_array_equal(by_matrix(labels[perm], shuffled_keys, matrix, 4), by_row[perm])
    by_picture = instance_dependent(features, labels, keys(60), 3, 0.5, 4)
    again = instance_dependent(features[perm], labels[perm], shuffled_keys, 3, 0.5, 4)
    np.testing.assert_array_equal(again, by_picture[perm])


def test_instance_dependent_noise_has_the_rate_of_its_truncated_normal() -> None:
    labels = labels_of(6000, 4)
    features = np.random.default_rng(1).normal(size=(6000, 8))
    for rate in (0.1, 0.4):
        noisy = instance_dependent(features, labels, keys(6000), 4, rate, 0)
        expected = truncnorm.mean(-rate / 0.1, (1 - rate) / 0.1, rate, 0.1)
        assert (noisy != labels).mean() == pytest.approx(expected, abs=0.02)
    np.testing.assert_array_equal(instance_dependent(features, labels, keys(6000), 4, 0, 0), labels)


def test_instance_dependent_noise_sends_like_pictures_to_like_labels() -> None:
    features = 4 * np.repeat(np.random.default_rng(2).normal(size=(2, 64)), 500, axis=0)
    noisy = instance_dependent(features, np.zeros(1000, int), keys(1000), 6, 1.0, 0)
    for half in (noisy[:500], noisy[500:]):
        counts = np.bincount(half[half != 0], minlength=6)
        assert counts.max() / counts.sum() > 0.9


@pytest.mark.parametrize(
    ("text", "kind", "source", "tail"),
    [
        ("sym:0.2+tail:10", "sym", "", 10),
        ("open:0.2:a+b+tail:2.5", "open", "a+b", 2.5),
        ("human+tail:4", "human", "", 4),
        ("sym:0.2+tail:1234567", "sym", "", 1234567),
    ],
)
def test_a_long_tail_stands_behind_the_noise(text: str, kind: str, source: str, tail: float) -> None:
    spec = Spec(text)
    assert (spec.kind, spec.source, spec.tail) == (kind, source, tail)
    assert str(spec) == text


@pytest.mark.parametrize("text", ["sym:0.2+tail:0.5", "sym:0.2+tail:", "sym:0.2+tail:1.2.3", "tail:10", "near:0.2:x"])
def test_a_tail_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"with \+tail:RATIO \(from 1\) behind it"):
        Spec(text)


def shuffled(n: int, seed: int) -> tuple[np.ndarray, list[str]]:
    perm = np.random.default_rng(seed).permutation(n)
    return perm, [keys(n)[i] for i in perm]


@settings(max_examples=30)
@given(st.integers(8, 60), st.integers(2, 6), st.floats(0, 0.4), st.booleans(), st.integers(0, 99))
def test_labels_flip_to_the_most_similar_class(n: int, classes: int, rate: float, half: bool, seed: int) -> None:
    labels = labels_of(n, classes, seed)
    similarity = np.random.default_rng(seed).random((classes, classes))
    try:
        noisy = to_similar(labels, keys(n), similarity, rate, seed, half=half)
    except ValueError:
        assume(not half)
        raise
    wrong = noisy != labels
    assert wrong.sum() == round(rate * n)
    for given_class, true in zip(noisy[wrong], labels[wrong], strict=True):
        assert given_class == max(set(range(classes)) - {true}, key=lambda k: similarity[true, k])
    if half:
        assert len(set(labels[wrong].tolist())) <= classes // 2
    perm, names = shuffled(n, seed)
    np.testing.assert_array_equal(to_similar(labels[perm], names, similarity, rate, seed, half=half), noisy[perm])


def test_half_of_the_classes_must_hold_the_wrong_labels() -> None:
    with pytest.raises(ValueError, match="Expected at least 8 images of the classes that go wrong, but they have 5"):
        to_similar(np.arange(10) % 2, keys(10), np.eye(2), 0.8, 0, half=True)
    with pytest.raises(ValueError, match="at least 2 classes and a rate from 0 to 1"):
        to_similar(np.zeros(3, int), keys(3), np.eye(1), 0.1, 0)


@settings(max_examples=30)
@given(st.integers(1, 60), st.integers(2, 6), st.floats(0, 1), st.integers(0, 99))
def test_confused_images_flip_to_the_class_they_look_like(n: int, classes: int, rate: float, seed: int) -> None:
    labels = labels_of(n, classes, seed)
    probs = np.random.default_rng(seed).dirichlet(np.ones(classes), n)
    noisy = to_confused(labels, keys(n), probs, rate, seed)
    wrong = noisy != labels
    assert wrong.sum() == round(rate * n)
    others = probs.copy()
    others[np.arange(n), labels] = 0
    np.testing.assert_array_equal(noisy[wrong], others.argmax(1)[wrong])
    perm, names = shuffled(n, seed)
    np.testing.assert_array_equal(to_confused(labels[perm], names, probs[perm], rate, seed), noisy[perm])


def test_an_image_goes_wrong_the_likelier_the_more_it_looks_like_another_class() -> None:
    labels = np.zeros(4000, int)
    probs = np.array([[0.9, 0.1], [0.6, 0.4]])[np.arange(4000) % 2]
    wrong = to_confused(labels, keys(4000), probs, 0.1, 3) == 1
    assert wrong[1::2].sum() == pytest.approx(4 * wrong[::2].sum(), rel=0.35)
    more = to_confused(labels, keys(4000), probs, 0.2, 3) == 1
    assert more[wrong].all()
    with pytest.raises(ValueError, match=r"probabilities of shape \(4000, C\)"):
        to_confused(labels, keys(4000), probs[:5], 0.1, 3)


def test_a_long_tail_falls_exponentially_and_keeps_what_a_longer_one_keeps() -> None:
    labels = np.repeat(np.arange(5), 100)
    kept = long_tail(labels, keys(500), 5, 16, seed=1)
    assert sorted(np.bincount(labels[kept]).tolist()) == [6, 12, 25, 50, 100]
    assert long_tail(labels, keys(500), 5, 4, seed=1)[kept].all()
    assert long_tail(labels, keys(500), 5, 1, seed=1).all()
    assert np.bincount(labels[long_tail(labels, keys(500), 5, 1e6, seed=1)]).min() == 2
    perm, names = shuffled(500, 2)
    np.testing.assert_array_equal(long_tail(labels[perm], names, 5, 16, seed=1), kept[perm])
    with pytest.raises(ValueError, match=r"a ratio of at least 1, but got 0\.5"):
        long_tail(labels, keys(500), 5, 0.5, seed=1)
