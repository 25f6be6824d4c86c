"""The parts of the decision against hand-worked numbers and scikit-learn."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_auc_score

from screening.decision.gaussians import drawn, flipped
from srrs.records import Group
from srrs.screening.decision import decide, discriminant, outside
from srrs.screening.decision.evidence import balancing, candidates, narrowed
from srrs.screening.decision.keys import row_keys
from srrs.screening.decision.scales import fit_scales, likelihoods
from srrs.screening.decision.transition import Strength, fit_matrix, matrix_of


def test_the_matrix_of_known_true_classes_is_the_shrunk_table_of_counts() -> None:
    counts = np.array([[6.0, 2.0, 0.0], [0.0, 8.0, 0.0], [1.0, 0.0, 7.0]])
    found = matrix_of(counts, 0.125, Strength(4.0, 2.0))
    # class 0: (2 + 4 * 0.125) / (8 + 4) wrong, of which (2 + 2 / 2) / (2 + 2) go to class 1
    assert found[0] == pytest.approx([1 - 2.5 / 12, 2.5 / 12 * 0.75, 2.5 / 12 * 0.25])
    # class 1: no mistake of its own, only the share of the others, to both alike
    assert found[1] == pytest.approx([0.5 / 12 / 2, 1 - 0.5 / 12, 0.5 / 12 / 2])
    assert found.sum(1) == pytest.approx([1, 1, 1])


def test_certain_evidence_is_not_moved_by_the_labels() -> None:
    truth = np.repeat([0, 1, 2], 10)
    labels = truth.copy()
    labels[[0, 1]] = 1
    evidence = np.eye(3, dtype=np.float32)[truth]
    index = np.broadcast_to(np.arange(3), (30, 3))
    fit = fit_matrix(evidence, index, labels, 3, Strength(0.1, 0.1), start=0.2)
    np.testing.assert_allclose(fit.posterior, evidence, atol=1e-6)
    assert fit.rate == pytest.approx(3 / 32)
    assert fit.matrix[0].argmax() == 0
    assert fit.matrix[0, 1] > 0.1 > fit.matrix[0, 2]


def test_one_image_does_not_confirm_its_own_mistake() -> None:
    """Odds of 3 to 1 against a label do not beat 19 right labels of its class, however weak the shrinkage."""
    labels = np.repeat([0, 1], 20)
    evidence = np.where(np.eye(2, dtype=bool)[labels], 0.99, 0.01).astype(np.float32)
    evidence[0] = [0.25, 0.75]
    index = np.broadcast_to(np.arange(2), (40, 2))
    fit = fit_matrix(evidence, index, labels, 2, Strength(0.01, 0.01), start=0.3)
    assert fit.posterior[0, 0] > 0.5


def test_scale_and_rate_of_a_known_model_are_found() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (4000, 6)).astype(np.float32)
    truth = np.array([rng.choice(6, p=row) for row in softmax(logits.astype(np.float64), 1)])
    labels = np.where(rng.random(4000) < 0.3, rng.integers(0, 6, 4000), truth)
    is_given = np.arange(6) == labels[:, None]
    scales, rate = fit_scales([2 * logits, rng.normal(size=logits.shape)], is_given, 6)
    assert scales[0] == pytest.approx(0.5, abs=0.06)
    assert scales[1] < 0.05
    assert rate == pytest.approx(0.3, abs=0.03)


def test_scales_through_a_known_matrix_are_those_of_the_model() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, (4000, 4)).astype(np.float32)
    truth = np.array([rng.choice(4, p=row) for row in softmax(logits.astype(np.float64), 1)])
    labels = np.where(rng.random(4000) < 0.4, (truth + 1) % 4, truth)
    matrix = 0.6 * np.eye(4) + 0.4 * np.roll(np.eye(4), 1, axis=1)
    through = matrix[:, labels].T.astype(np.float32)
    scales, _ = fit_scales([logits], np.arange(4) == labels[:, None], 4, transition=through)
    assert scales[0] == pytest.approx(1, abs=0.1)


def test_other_classes_than_the_candidates_keep_their_share() -> None:
    scores = np.zeros((1, 10), np.float32)
    index = np.array([[1, 4]])
    assert likelihoods(narrowed(scores, index), 2, 10) == pytest.approx(0.1)


def test_candidates_hold_the_given_class_once() -> None:
    rng = np.random.default_rng(2)
    scores, labels = rng.normal(size=(50, 400)).astype(np.float32), rng.integers(0, 400, 50)
    index = candidates([scores, -scores], labels, 400)
    assert (index == labels[:, None]).sum(1).tolist() == [1] * 50
    assert all(len(set(row)) == len(row) for row in index.tolist())
    assert (index == scores.argmax(1)[:, None]).any(1).all()


def test_classes_that_two_sources_choose_give_way_to_the_first_others() -> None:
    scores = np.random.default_rng(2).normal(size=(50, 400)).astype(np.float32)
    labels = np.full(50, 399)
    best = np.argsort(-scores, axis=1)[:, :32]
    for row, found in enumerate(candidates([scores, scores], labels, 400)):
        wanted = {*best[row], 399}
        others = [label for label in range(400) if label not in wanted]
        assert found.tolist() == sorted(wanted | set(others[: 65 - len(wanted)]))


def test_balanced_predictions_have_the_wanted_mean() -> None:
    rng = np.random.default_rng(3)
    log_probs = log_softmax(rng.normal(0, 2, (500, 5)) + np.array([3, 0, 0, 0, -2]), axis=1).astype(np.float32)
    target = np.array([0.3, 0.2, 0.2, 0.2, 0.1])
    offset = balancing(log_probs, target)
    np.testing.assert_allclose(softmax(log_probs + offset, axis=1).mean(0), target, atol=0.01)


def test_discriminant_scores_predict_as_linear_discriminant_analysis_does() -> None:
    bed = drawn(4, shots=60, apart=1.0)
    fold = np.random.default_rng(0).integers(0, 2, len(bed.truth))
    index = np.broadcast_to(np.arange(bed.classes), (len(bed.truth), bed.classes))
    centered = discriminant.fit_centering(bed.features)(bed.features)
    probs = np.eye(bed.classes, dtype=np.float32)[bed.truth]
    scatter = discriminant.fold_scatter(centered, fold, 2)
    means = discriminant.fold_means(centered, scatter, probs, index, bed.classes, fold)
    found = discriminant.scores(centered, means, fold, index)
    train, size = fold == 1, centered.shape[1]
    share = discriminant.SPHERE * size / (discriminant.SPHERE * size + train.sum())
    peer = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=share)
    peer.fit(bed.features[train], bed.truth[train])
    assert (found[~train].argmax(1) == peer.predict(bed.features[~train])).mean() > 0.97


def test_an_image_enters_neither_its_class_means_nor_their_covariance() -> None:
    bed = drawn(5)
    fold = np.arange(len(bed.truth)) % 5
    index = np.broadcast_to(np.arange(bed.classes), (len(bed.truth), bed.classes))
    centered = discriminant.fit_centering(bed.features)(bed.features)
    probs = np.eye(bed.classes, dtype=np.float32)[bed.truth]
    moved = np.where((fold == 2)[:, None], 10 * centered, centered)
    weights = [
        discriminant.fold_means(rows, discriminant.fold_scatter(rows, fold, 5), probs, index, bed.classes, fold).weight[
            2
        ]
        for rows in (centered, moved)
    ]
    np.testing.assert_allclose(weights[0], weights[1], rtol=1e-2, atol=1e-4)


def test_the_label_of_an_image_does_not_enter_its_own_score() -> None:
    bed = drawn(5)
    fold = np.arange(len(bed.truth)) % 5
    index = np.broadcast_to(np.arange(bed.classes), (len(bed.truth), bed.classes))
    centered = discriminant.fit_centering(bed.features)(bed.features)
    scatter = discriminant.fold_scatter(centered, fold, 5)
    rows = fold == 2

    def scored(labels: np.ndarray) -> np.ndarray:
        probs = np.eye(bed.classes, dtype=np.float32)[labels]
        means = discriminant.fold_means(centered, scatter, probs, index, bed.classes, fold)
        return np.asarray(discriminant.scores(centered, means, fold, index)[rows])

    changed = np.where(rows, (bed.truth + 1) % bed.classes, bed.truth)
    here, there = scored(bed.truth), scored(changed)
    assert np.corrcoef(here.ravel(), there.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("names", [("features", "zero_shot"), ("features",)], ids="+".join)
def test_images_of_no_class_are_called_outside(names: tuple[str, ...]) -> None:
    bed = drawn(6, classes=16, shots=20, size=32, apart=3.5)
    strangers = bed.truth >= 12
    labels = np.where(strangers, np.random.default_rng(0).integers(0, 12, len(bed.truth)), bed.truth)
    sources = {"features": bed.features, "zero_shot": bed.zero_shot[:, :12]}
    found = decide(labels, classes=12, **{name: sources[name] for name in names})
    assert roc_auc_score(strangers, found.p_outside) > 0.9
    assert (found.group[strangers] == Group.OUTSIDE).mean() > 0.5
    assert (found.group[~strangers] == Group.OUTSIDE).mean() < 0.05
    np.testing.assert_array_equal(found.target[found.group == Group.OUTSIDE], labels[found.group == Group.OUTSIDE])


def test_without_strangers_hardly_any_image_is_outside() -> None:
    bed = drawn(7, classes=12)
    found = decide(bed.truth, classes=12, features=bed.features, zero_shot=bed.zero_shot)
    assert (found.group == Group.OUTSIDE).mean() <= 0.01


@pytest.mark.parametrize(("inside", "none"), [((5.0, 1.0), (0.0, 2.0)), ((5.0, 2.0), (0.0, 1.0))])
def test_the_probability_of_no_class_falls_with_the_fit(inside: tuple[float, float], none: tuple[float, float]) -> None:
    mixture = outside.Mixture(0.2, 1.0, none, inside)
    probability = mixture(np.linspace(-8, 12, 60))
    assert (np.diff(probability) <= 1e-12).all()
    assert probability[0] > 0.9
    assert probability[-1] < 0.05


def test_a_few_class_vectors_that_are_swapped_are_named_and_do_not_decide() -> None:
    bed = drawn(8, classes=12)
    labels = flipped(bed.truth, 0.1, bed.classes, seed=1)
    order = np.arange(12)
    order[[3, 7]] = [7, 3]
    found = decide(labels, classes=12, features=bed.features, zero_shot=bed.zero_shot[:, order])
    assert set(found.report.contradictions) == {3, 7}
    there = np.isin(bed.truth, [3, 7])
    assert (found.target[there] != bed.truth[there]).mean() < 0.1
    assert "contradict" in " ".join(found.report.advice)


def test_equal_rows_have_equal_keys_and_others_do_not() -> None:
    rows = np.random.default_rng(9).normal(size=(500, 7)).astype(np.float32)
    keys = row_keys(np.concatenate([rows, rows[:3]]))
    assert len(np.unique(keys)) == 500
    np.testing.assert_array_equal(keys[:3], keys[-3:])
    assert (row_keys(np.where(np.arange(7) == 2, -rows, rows)) != row_keys(rows)).all()
