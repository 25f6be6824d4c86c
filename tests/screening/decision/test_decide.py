"""The default decision on small Gaussian classes, whose wrong labels are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from screening.decision.gaussians import Drawn, drawn, flipped
from srrs.core import many
from srrs.records import Group
from srrs.screening.decision import Verdicts, decide


def verdicts(bed: Drawn, labels: np.ndarray, **changed: object) -> Verdicts:
    sources = {"features": bed.features, "zero_shot": bed.zero_shot, **changed}
    return decide(labels, classes=bed.classes, **sources)  # type: ignore[arg-type]


SOURCES = [("features", "zero_shot"), ("features",), ("zero_shot",)]


@pytest.mark.parametrize("names", SOURCES, ids="+".join)
@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5])
def test_random_mistakes_are_found_with_any_sources(names: tuple[str, ...], rate: float) -> None:
    bed = drawn(0)
    labels = flipped(bed.truth, rate, bed.classes, seed=1)
    found = decide(labels, classes=bed.classes, **{name: getattr(bed, name) for name in names})
    wrong = labels != bed.truth
    noisy = found.group == Group.NOISY
    assert (noisy & wrong).sum() >= 0.7 * wrong.sum()
    assert (noisy & wrong).sum() >= 0.9 * noisy.sum()
    assert (found.target != bed.truth).mean() < 0.5 * rate
    assert found.noise.low <= rate <= found.noise.high
    assert found.p_clean[~wrong].mean() > found.p_clean[wrong].mean() + 0.5


@pytest.mark.parametrize("names", SOURCES, ids="+".join)
@pytest.mark.parametrize("shots", [8, 16])
def test_labels_without_a_mistake_are_left_alone(names: tuple[str, ...], shots: int) -> None:
    bed = drawn(2, shots=shots)
    found = decide(bed.truth, classes=bed.classes, **{name: getattr(bed, name) for name in names})
    assert (found.target != bed.truth).mean() <= 0.005
    assert found.noise.low == 0


def test_swapped_pairs_are_found_by_what_never_saw_the_labels() -> None:
    bed = drawn(3)
    labels = np.where(np.random.default_rng(0).random(len(bed.truth)) < 0.4, (bed.truth + 1) % bed.classes, bed.truth)
    found = verdicts(bed, labels)
    assert (found.target != bed.truth).mean() < 0.1
    elsewhere = found.transition - np.eye(bed.classes)
    np.testing.assert_array_equal(elsewhere.argmax(1), (np.arange(bed.classes) + 1) % bed.classes)


@pytest.mark.parametrize("useless", ["permuted", "random"])
def test_class_vectors_that_know_nothing_do_not_decide(useless: str) -> None:
    bed, rng = drawn(4), np.random.default_rng(5)
    labels = flipped(bed.truth, 0.2, bed.classes, seed=6)
    order = np.roll(np.arange(bed.classes), 1)
    scores = bed.zero_shot[:, order] if useless == "permuted" else rng.normal(0, 5, bed.zero_shot.shape)
    found, alone = verdicts(bed, labels, zero_shot=scores), verdicts(bed, labels, zero_shot=None)
    assert found.report.hypothesis == "labels"
    assert found.report.model_knows is False
    assert "--model none" in " ".join(found.report.advice)
    assert found.report.decided_by == "images"
    assert np.corrcoef(found.p_clean, alone.p_clean)[0, 1] > 0.9


def test_trust_decides_between_two_hypotheses_that_the_data_cannot_tell_apart() -> None:
    bed = drawn(7)
    labels = (bed.truth + 1) % bed.classes
    assert (verdicts(bed, labels).target == labels).mean() > 0.95
    assert (verdicts(bed, labels, trust="labels").target == labels).mean() > 0.95
    assert (verdicts(bed, labels, trust="model").target == bed.truth).mean() > 0.9


def test_predictions_that_saw_the_labels_are_sharpened() -> None:
    bed = drawn(8, shots=40)
    labels = flipped(bed.truth, 0.4, bed.classes, seed=9)
    probe = LogisticRegression(C=0.01)
    soft = cross_val_predict(probe, bed.features, labels, cv=5, method="predict_proba")
    found = decide(labels, classes=bed.classes, pred_probs=soft)
    assert found.noise.rate == pytest.approx(0.4, abs=0.05)
    assert found.report.sources[0].saw_labels


@settings(max_examples=8, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(SOURCES))
def test_the_order_of_the_rows_changes_nothing(random: object, names: tuple[str, ...]) -> None:
    bed = drawn(10, classes=5)
    labels = flipped(bed.truth, 0.2, bed.classes, seed=11)
    order = np.arange(len(labels))
    random.shuffle(order)  # type: ignore[attr-defined]
    sources = {name: getattr(bed, name) for name in names}
    there = decide(labels, classes=bed.classes, **sources)
    here = decide(labels[order], classes=bed.classes, **{name: rows[order] for name, rows in sources.items()})
    np.testing.assert_array_equal(here.group, there.group[order])
    np.testing.assert_array_equal(here.target, there.target[order])
    np.testing.assert_allclose(here.quality, there.quality[order], atol=1e-6)


def test_posterior_and_matrix_are_probabilities() -> None:
    bed = drawn(12)
    found = verdicts(bed, flipped(bed.truth, 0.3, bed.classes, seed=13))
    np.testing.assert_allclose(found.posterior.sum(1), 1, atol=1e-4)
    np.testing.assert_allclose(found.transition.sum(1), 1, atol=1e-6)
    assert ((found.quality >= 0) & (found.quality <= 1)).all()
    assert 0 <= found.noise.low <= found.noise.rate <= found.noise.high <= 1
    rows = np.arange(len(found.posterior))
    labels = flipped(bed.truth, 0.3, bed.classes, seed=13)
    np.testing.assert_allclose(found.p_clean, (1 - found.p_outside) * found.posterior[rows, labels], atol=1e-6)


@pytest.mark.parametrize("names", SOURCES, ids="+".join)
@pytest.mark.parametrize("case", ["constant", "identical", "one image", "two classes", "empty class", "one class"])
def test_degenerate_inputs_give_defined_results(case: str, names: tuple[str, ...]) -> None:
    classes = {"two classes": 2, "one class": 1}.get(case, 4)
    bed = drawn(14, classes=classes, shots=1 if case == "one image" else 6)
    features, zero_shot, labels = bed.features.copy(), bed.zero_shot.copy(), bed.truth.copy()
    if case == "constant":
        features[:], zero_shot[:] = 1.0, 0.0
    if case == "identical":
        features[:], zero_shot[:] = features[0], zero_shot[0]
    if case == "empty class":
        labels[labels == 3] = 2
    sources = {"features": features, "zero_shot": zero_shot}
    found = decide(labels, classes=classes, **{name: sources[name] for name in names})
    for values in (found.posterior, found.p_clean, found.quality, found.transition):
        assert np.isfinite(values).all()
    if case not in ("empty class",):
        np.testing.assert_array_equal(found.target, labels)


def test_many_classes_are_decided_among_candidates() -> None:
    bed = drawn(15, classes=300, shots=4, size=48)
    labels = flipped(bed.truth, 0.2, bed.classes, seed=16)
    found = verdicts(bed, labels)
    wrong = labels != bed.truth
    noisy = found.group == Group.NOISY
    assert (noisy & wrong).sum() >= 0.6 * wrong.sum()
    assert (noisy & wrong).sum() >= 0.9 * noisy.sum()
    np.testing.assert_allclose(found.posterior.sum(1), 1, atol=1e-4)


def test_a_fit_on_a_sample_decides_like_a_fit_on_all(monkeypatch: pytest.MonkeyPatch) -> None:
    bed = drawn(17, shots=150)
    labels = flipped(bed.truth, 0.2, bed.classes, seed=18)
    every = verdicts(bed, labels)
    monkeypatch.setattr("srrs.screening.decision.evidence.SAMPLE", 600)
    monkeypatch.setattr("srrs.screening.decision.evidence.SAMPLE_OF_CLASS", 60)
    monkeypatch.setattr("srrs.screening.decision.evidence.CELLS", 2_000)
    some = verdicts(bed, labels)
    assert (some.group == every.group).mean() > 0.97
    assert some.noise.rate == pytest.approx(every.noise.rate, abs=0.03)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"features": np.zeros((3, 2))}, "one row per label"),
        ({"zero_shot": np.zeros((4, 3))}, "2 columns"),
        ({"labels": np.array([0, 1, 2, 0])}, "0 to 1"),
        ({}, "none of them"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(changed: dict[str, np.ndarray], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        decide(**{"labels": np.array([0, 1, 0, 1]), "classes": 2, **changed})  # type: ignore[arg-type]


def test_a_posterior_of_top_classes_decides_as_a_whole_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    bed = drawn(0)
    labels = flipped(bed.truth, 0.2, bed.classes, seed=1)
    whole = verdicts(bed, labels)
    monkeypatch.setattr(many, "ENTRIES", len(labels))
    monkeypatch.setattr(many, "KEPT", 3)
    top = verdicts(bed, labels)
    for name in ("p_outside", "p_clean", "quality", "group", "target"):
        np.testing.assert_array_equal(getattr(top, name), getattr(whole, name), err_msg=name)
    assert isinstance(top.posterior, many.TopClasses)
    np.testing.assert_array_equal(top.posterior.argmax(1), whole.posterior.argmax(1))


def test_one_large_class_is_left_alone() -> None:
    """Class means without class sizes would share its images among the small classes."""
    rng = np.random.default_rng(2)
    truth = np.repeat(np.arange(5), [300, 10, 10, 10, 10])
    means = rng.normal(size=(5, 64)) / np.sqrt(8)
    features = (means[truth] + rng.normal(size=(len(truth), 64))).astype(np.float32)
    found = decide(truth, classes=5, features=features)
    assert (found.target != truth).mean() <= 0.005
    assert found.noise.low == 0


def test_a_probability_of_zero_is_unlikely_and_not_impossible() -> None:
    bed = drawn(19)
    probs = np.exp(bed.zero_shot - bed.zero_shot.max(1, keepdims=True))
    with np.errstate(divide="ignore"):
        scores = np.log(np.where(probs < 1e-3, 0, probs))
    found = verdicts(bed, flipped(bed.truth, 0.2, bed.classes, seed=20), zero_shot=scores)
    assert np.isfinite(found.quality).all()
    assert (found.target != bed.truth).mean() < 0.1


@pytest.mark.parametrize("names", SOURCES, ids="+".join)
def test_random_labels_or_random_features_give_no_estimate_and_no_trust(names: tuple[str, ...]) -> None:
    rng = np.random.default_rng(7)
    arrays = {"features": rng.normal(size=(400, 32)).astype(np.float32), "zero_shot": rng.normal(size=(400, 20))}
    labels = rng.integers(0, 20, 400)
    found = decide(labels, classes=20, **{name: arrays[name] for name in names})
    assert (found.noise.low, found.noise.high) == (0, 1)
    assert not found.report.trusted
    assert "cannot tell right labels from wrong ones" in " ".join(found.report.advice)
    assert (found.target == labels).all()


def test_one_informed_source_is_enough_for_an_estimate() -> None:
    bed = drawn(4)
    noise = np.random.default_rng(8).normal(size=bed.zero_shot.shape)
    for changed in ({"zero_shot": noise}, {"features": noise}):
        found = verdicts(bed, bed.truth, **changed)
        assert found.noise.high < 0.5
        assert "cannot tell right labels" not in " ".join(found.report.advice)
