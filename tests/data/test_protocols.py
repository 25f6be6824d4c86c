"""Draws against the rules of the protocols."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from srrs.core.noise import NoiseSpec
from srrs.data.protocols import PROTOCOLS, Draw, digest, draw
from srrs.errors import DataError, SettingsError

Spec = NoiseSpec.parse
NAMES = ("cat", "dog", "sea horse")


def split(*sizes: int, outside: int = 0) -> tuple[np.ndarray, list[str]]:
    """Labels and paths of as many images of each class, and of none of them, in no particular order."""
    labels = np.concatenate([np.repeat(np.arange(len(sizes)), sizes), np.full(outside, -1)])
    order = np.random.default_rng(0).permutation(len(labels))
    return labels[order], [f"images/{i * 7919 % 100_003}.jpg" for i in range(len(labels))]


def drawn(
    noise: str, *sizes: int, protocol: str = "fp-injection", outside: int = 0, seed: int = 1, **more: Any
) -> Draw:
    labels, paths = split(*sizes, outside=outside)
    chosen = {"shots": 16} | more
    return draw(labels, paths, len(sizes), Spec(noise), protocol=protocol, seed=seed, **chosen)


def test_a_digest_is_that_of_the_lines() -> None:
    assert digest(["a/1.jpg", "b/2.jpg"], np.array([0, 12])) == sha256(b"a/1.jpg,0\nb/2.jpg,12\n").hexdigest()
    found = Draw(rows=np.array([2, 0]), given=np.array([1, 0]), truth=np.array([1, 1]))
    assert found.digest(["a", "b", "c"]) == sha256(b"c,1\na,0\n").hexdigest()


# FP-injection -------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(16, 30), min_size=2, max_size=6),
    st.integers(0, 16),
    st.sampled_from(["sym", "pair"]),
    st.integers(1, 16),
    st.integers(0, 99),
)
def test_every_observed_class_keeps_its_shots_and_every_photograph_is_there_once(
    sizes: list[int], sixteenths: int, kind: str, shots: int, seed: int
) -> None:
    classes, rate = len(sizes), sixteenths / 16
    found = drawn(f"{kind}:{rate!r}", *sizes, shots=shots, seed=seed)
    wrong = round(rate * shots)
    np.testing.assert_array_equal(found.given, np.repeat(np.arange(classes), shots))
    assert len(set(found.rows)) == len(found.rows)
    np.testing.assert_array_equal(np.bincount(found.truth, minlength=classes), shots)
    for c in range(classes):  # first those that the label describes rightly
        truth = found.truth[found.given == c]
        assert (truth[: shots - wrong] == c).all()
        assert (truth[shots - wrong :] != c).all()
        if kind == "pair":
            assert (truth[shots - wrong :] == (c + 1) % classes).all()


@pytest.mark.parametrize("kind", ["sym", "pair"])
def test_the_photographs_are_the_same_at_every_rate_and_more_noise_keeps_fewer(kind: str) -> None:
    clean, some, all_wrong = (drawn(f"{kind}:{rate}", 20, 30, 16, 18) for rate in (0, 0.25, 1))
    assert set(clean.rows) == set(some.rows) == set(all_wrong.rows)
    assert (all_wrong.given != all_wrong.truth).all()
    assert set(some.rows[some.given == some.truth]) < set(clean.rows)


def test_fewer_shots_are_some_of_more_shots() -> None:
    assert set(drawn("sym:0", 20, 20, shots=4).rows) < set(drawn("sym:0", 20, 20, shots=8).rows)


def test_symmetric_injection_reaches_all_other_classes_alike() -> None:
    counts = sum(
        np.bincount(found.given[found.truth == 2], minlength=5)
        for found in (drawn("sym:0.75", 16, 16, 16, 16, 16, seed=seed) for seed in range(60))
    )
    assert counts[2] == 60 * 4
    assert chisquare(np.delete(counts, 2)).pvalue > 0.001


@pytest.mark.parametrize("noise", ["sym:0.5", "pair:0.5"])
def test_a_hand_worked_draw(noise: str) -> None:
    found = drawn(noise, 2, 2, shots=2)
    assert found.given.tolist() == [0, 0, 1, 1]
    assert found.truth.tolist() == [0, 1, 1, 0]


def test_all_shots_and_short_classes_give_what_there_is() -> None:
    every = drawn("sym:0.5", 10, 30, 22, shots=None)
    assert len(set(every.rows)) == 62
    np.testing.assert_array_equal(np.bincount(every.given), [10, 30, 22])
    short = drawn("sym:0.25", 20, 4, 20)
    np.testing.assert_array_equal(np.bincount(short.given), [16, 4, 16])
    assert [(short.truth[short.given == c] != c).sum() for c in range(3)] == [4, 1, 4]


# Every protocol and kind --------------------------------------------------------------------------------------------


NOISES = (
    "sym:0.4",
    "pair:1",
    "instance:0.4",
    "open:0.3",
    "matrix:FOLDER/matrix.csv",
    "human:FOLDER/human.csv",
    "human",
)


@pytest.fixture(scope="module")
def noise_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("noise")
    (folder / "matrix.csv").write_text("true,0,1,2\n0,6,4,0\n1,0,1,1\n2,0.2,0.2,0.6\n")
    _, paths = split(20, 22, 24, outside=30)
    (folder / "human.csv").write_text("path,label\n" + "".join(f"{p},{i % 3}\n" for i, p in enumerate(paths)))
    return folder


@settings(max_examples=60, deadline=None)
@given(
    st.randoms(use_true_random=False), st.sampled_from(NOISES), st.sampled_from(PROTOCOLS), st.sampled_from([5, None])
)
def test_another_order_of_the_rows_gives_the_same_draw(
    noise_files: Path, random: Any, noise: str, protocol: str, shots: int | None
) -> None:
    labels, paths = split(20, 22, 24, outside=30)
    generator = np.random.default_rng(3)
    features, people = generator.normal(size=(len(labels), 4)), generator.integers(0, 3, len(labels))
    order = list(range(len(labels)))
    random.shuffle(order)
    spec = Spec(noise.replace("FOLDER", str(noise_files)))

    def lines(at: list[int]) -> list[tuple[str, int, int]]:
        mine = [paths[i] for i in at]
        found = draw(
            labels[at], mine, 3, spec, protocol=protocol, shots=shots, seed=7, features=features[at], given=people[at]
        )
        assert found.given.min() >= 0
        np.testing.assert_array_equal(labels[at][found.rows], found.truth)
        return [(mine[r], int(g), int(t)) for r, g, t in zip(found.rows, found.given, found.truth, strict=True)]

    plain = lines(list(range(len(labels))))
    assert lines(order) == plain
    assert len({path for path, _, _ in plain}) == len(plain)
    assert [g for _, g, _ in plain] == sorted(g for _, g, _ in plain)


@pytest.mark.parametrize("kind", ["sym", "pair"])
def test_label_flip_keeps_the_true_classes_balanced_and_meets_the_rate(kind: str) -> None:
    found = drawn(f"{kind}:0.3", 20, 20, 20, 20, protocol="label-flip")
    np.testing.assert_array_equal(np.bincount(found.truth), 16)
    assert (found.given != found.truth).sum() == round(0.3 * 64)
    if kind == "pair":
        wrong = found.given != found.truth
        np.testing.assert_array_equal(found.given[wrong], (found.truth[wrong] + 1) % 4)


def test_open_noise_replaces_pictures_by_pictures_of_no_class() -> None:
    found = drawn("open:0.25", 20, 20, 20, outside=12)
    np.testing.assert_array_equal(np.bincount(found.given), 16)
    np.testing.assert_array_equal(np.bincount(found.given[found.truth == -1]), 4)
    inside = found.truth >= 0
    np.testing.assert_array_equal(found.given[inside], found.truth[inside])
    assert len(set(found.rows)) == 48
    flipped = drawn("open:0.25", 20, 20, 20, outside=40, protocol="label-flip")
    np.testing.assert_array_equal(np.bincount(flipped.given), 16)
    assert (flipped.truth == -1).sum() == 12


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("noise", ["sym:0.5", "pair:0.5", "sym:0"])
def test_pictures_of_no_class_are_seen_with_open_noise_only(protocol: str, noise: str) -> None:
    assert (drawn(noise, 20, 20, outside=20, protocol=protocol).truth >= 0).all()


def test_a_matrix_is_met_and_its_balance_is_the_protocols(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("true,dog,cat,sea_horse\ncat,3,7,0\ndog,1,0,0\nSea Horse,0.25,0.25,0.5\n")
    names = {"class_names": NAMES}
    noise = f"matrix:{tmp_path / 'm.csv'}"
    flipped = drawn(noise, 1500, 1500, 1500, protocol="label-flip", shots=1000, **names)
    np.testing.assert_array_equal(np.bincount(flipped.truth), 1000)
    found = [np.bincount(flipped.given[flipped.truth == c], minlength=3) / 1000 for c in range(3)]
    np.testing.assert_allclose(found, [[0.7, 0.3, 0], [0, 1, 0], [0.25, 0.25, 0.5]], atol=0.04)
    injected = drawn(noise, 1500, 1500, 1500, shots=500, **names)
    np.testing.assert_array_equal(np.bincount(injected.given), 500)
    assert set(injected.truth[injected.given == 2]) == {2}


def test_instance_noise_has_about_its_rate() -> None:
    features = np.random.default_rng(0).normal(size=(1500, 8))
    found = drawn("instance:0.3", 500, 500, 500, protocol="label-flip", shots=400, features=features)
    assert (found.given != found.truth).mean() == pytest.approx(0.3, abs=0.05)


def test_labels_of_people_come_from_their_file_or_with_the_data_set(tmp_path: Path) -> None:
    labels, paths = np.array([0, 0, 1, 1, 2, 2, -1]), list("abcdefg")
    file = tmp_path / "people.csv"
    people = np.array([0, 1, 1, 1, 2, 0, 2])
    file.write_text("label,path\n" + "".join(f"{NAMES[g]},{p}\n" for g, p in zip(people, paths, strict=True)))
    for noise, given_labels in ((Spec(f"human:{file}"), None), (Spec("human"), people)):
        seen = draw(
            labels, paths, 3, noise, protocol="fp-injection", shots=None, seed=0, class_names=NAMES, given=given_labels
        )
        pairs = sorted(zip(seen.rows.tolist(), seen.given.tolist(), strict=True))
        assert pairs == list(enumerate(people))
        true = draw(
            labels, paths, 3, noise, protocol="label-flip", shots=2, seed=0, class_names=NAMES, given=given_labels
        )
        assert sorted(true.rows) == [0, 1, 2, 3, 4, 5]
    unknown = np.array([-1, 1, 1, 1, 2, 0, 2])
    seen = draw(labels, paths, 3, Spec("human"), protocol="label-flip", shots=2, seed=0, given=unknown)
    assert sorted(seen.rows) == [1, 2, 3, 4, 5]


def test_another_seed_draws_other_photographs_and_the_input_stays() -> None:
    labels, paths = split(40, 40)
    before = labels.copy()
    a, b = (draw(labels, paths, 2, Spec("sym:0.5"), protocol="fp-injection", shots=8, seed=s) for s in (1, 2))
    assert set(a.rows) != set(b.rows)
    np.testing.assert_array_equal(labels, before)


# What cannot be drawn -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: drawn("sym:0.5", 20, 20, protocol="flip"), r"fp-injection or label-flip, but got 'flip'"),
        (lambda: drawn("sym:0.5", 20, 20, shots=0), r"at least 1 shot \(or all\) and a seed from 0, but got 0 and 1"),
        (lambda: drawn("sym:0.5", 20, 20, seed=-1), r"seed from 0, but got 16 and -1"),
        (lambda: drawn("sym:0.5", 20, 20, protocol="label-flip", as_published=True), "got label-flip, sym:0.5 and 16"),
        (lambda: drawn("open:0.5", 20, 20, as_published=True), "with sym or pair noise"),
        (lambda: drawn("sym:0.5", 20, 20, shots=None, as_published=True), "and all shots"),
    ],
)
def test_a_draw_that_there_is_not_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        call()


def of(labels: list[int], paths: str, noise: str = "sym:0.5", **more: Any) -> Draw:
    return draw(np.array(labels, int), list(paths), 2, Spec(noise), protocol="fp-injection", shots=2, seed=0, **more)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: of([0, 1], "abc"), "one label for each of 3 images"),
        (
            lambda: of([0, 0, 1, 1], "abcd", "half:0.9", features=np.eye(4)),
            r"at least 4 images of the classes that go wrong, but they have 2\. Use a lower rate",
        ),
        (lambda: of([0, 1, 1], "aba"), "'a' is there 2 times"),
        (lambda: of([0, 1, 2], "abc"), r"labels from 0 to 1, or -1 .* run from 0 to 2"),
        (lambda: of([0, 1, -2], "abc"), r"run from -2 to 1"),
        (lambda: of([0, 0], "ab", class_names=NAMES[:2]), "every class, but found none of 'dog'"),
        (lambda: drawn("sym:0.5", 20), "at least 2 classes for sym:0.5 noise, but got 1"),
        (lambda: drawn("sym:0.5", 90, 10, shots=None), r"0 is 45 of 50\. Set a number of shots"),
        (
            lambda: drawn("open:0.5", 20, 20, outside=3),
            r"at least 16 images of no class .* found 3\. .*open:0\.2:FOLDER",
        ),
        (lambda: of([0, 1], "ab", "human"), "no labels of people beside its own.*human:FILE"),
        (lambda: of([0, 1], "ab", "human", given=np.array([0, 2])), "labels of people from 0 to 1"),
    ],
)
def test_a_split_that_does_not_fit_is_answered_with_what_is_expected(call: Callable[[], object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        call()


def test_a_photograph_that_people_gave_no_label_is_named(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text("path,label\na,cat\n")
    with pytest.raises(DataError, match=r"every training image in .*h\.csv, but 1 have none, 'b' for one"):
        of([0, 1], "ab", f"human:{tmp_path / 'h.csv'}", class_names=NAMES[:2])


def test_wrong_calls_are_refused() -> None:
    with pytest.raises(ValueError, match=r"features of shape \(40, D\) for instance:0.5 noise"):
        drawn("instance:0.5", 20, 20)
    with pytest.raises(ValueError, match="Expected 2 class names, but got 3"):
        drawn("sym:0.5", 20, 20, class_names=NAMES)


def test_the_samples_of_a_run_serve_as_labels_of_people(tmp_path: Path) -> None:
    labels, paths = split(20, 20, 20)
    first = draw(labels, paths, 3, Spec("sym:0.5"), protocol="fp-injection", shots=8, seed=1)
    file, mine = tmp_path / "samples.csv", [paths[row] for row in first.rows]
    file.write_text("path,label\n" + "".join(f"{p},{g}\n" for p, g in zip(mine, first.given, strict=True)))
    people = Spec(f"human:{file}")
    again = draw(first.truth, mine, 3, people, protocol="fp-injection", shots=None, seed=1, class_names=NAMES)
    assert len(again.rows) == 24
    np.testing.assert_array_equal(first.given[again.rows], again.given)
