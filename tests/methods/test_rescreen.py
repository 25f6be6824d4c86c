import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from srrs.methods.rescreen import accept_all, matcher, reported
from srrs.records import Group

N = 40
CLASSES = [i % 3 for i in range(N)]


class Scores:
    """Scores of a table (N, 3) that notes what it was asked."""

    def __init__(self, table: np.ndarray):
        self.table, self.asked = table, []

    def __call__(self, rows, classes):
        self.asked.append((rows.tolist(), classes.tolist()))
        return self.table[rows, classes]


def table(seed: int = 0) -> np.ndarray:
    """Every fourth image matches nothing."""
    generator = np.random.default_rng(seed)
    matching = np.arange(N)[:, None] % 4 != 0
    return np.clip(np.where(matching, 0.8, 0.15) + 0.06 * generator.standard_normal((N, 3)), 0, 1)


def high_component(score: np.ndarray) -> np.ndarray:
    fit = GaussianMixture(2, random_state=0, reg_covar=5e-4).fit(np.sort(score)[:, None])
    return fit.predict_proba(score[:, None])[:, fit.means_[:, 0].argmax()]


def scaled(values: np.ndarray) -> np.ndarray:
    return (values - values.min()) / np.ptp(values)


def test_images_that_match_their_rectified_label_are_told_from_those_that_do_not(evidence, partition, targets) -> None:
    scores = Scores(table())
    found, _ = matcher()(evidence(n=N, match=scores), partition([Group.NOISY] * N), targets(CLASSES), {})
    assert scores.asked == [(list(range(N)), CLASSES)]
    given = table()[np.arange(N), CLASSES]
    np.testing.assert_array_equal(found.score, given)
    np.testing.assert_array_equal(found.is_match, high_component(scaled(given)) >= 0.5)
    np.testing.assert_array_equal(found.is_match, np.arange(N) % 4 != 0)


def test_scores_are_averaged_over_the_last_five_screenings(evidence, partition, targets) -> None:
    memory, seen = {}, []
    for seed in range(7):
        scores = table(seed) if seed < 6 else 1 - table(seed)  # one dissenting vote
        seen.append(scaled(scores[np.arange(N), CLASSES]))
        asked = evidence(n=N, match=Scores(scores))
        found, memory = matcher(remember=5)(asked, partition([Group.NOISY] * N), targets(CLASSES), memory)
    np.testing.assert_allclose(memory["matches"], seen[2:])
    np.testing.assert_array_equal(found.is_match, high_component(np.mean(seen[2:], 0)) >= 0.5)
    np.testing.assert_array_equal(found.is_match, np.arange(N) % 4 != 0)
    np.testing.assert_array_equal(found.score, scores[np.arange(N), CLASSES])


def test_with_the_ambiguous_alone_no_other_sample_is_refused(evidence, partition, targets) -> None:
    groups = [Group.AMBIGUOUS if i < 20 else (Group.CLEAN, Group.NOISY)[i % 2] for i in range(N)]
    found, _ = matcher(ambiguous_only=True)(
        evidence(n=N, match=Scores(table())), partition(groups), targets(CLASSES), {}
    )
    np.testing.assert_array_equal(found.is_match, (np.arange(N) % 4 != 0) | (np.arange(N) >= 20))


def test_a_lower_kappa_accepts_more(evidence, partition, targets) -> None:
    accepted = [
        matcher(kappa=kappa)(evidence(n=N, match=Scores(table())), partition([Group.NOISY] * N), targets(CLASSES), {})[
            0
        ]
        for kappa in (0.0, 0.5, 1.01)
    ]
    assert [int(a.is_match.sum()) for a in accepted] == [N, 30, 0]


@pytest.mark.parametrize("rescreen", [accept_all(), matcher()])
def test_without_a_matcher_everything_is_accepted(evidence, partition, targets, rescreen) -> None:
    found, memory = rescreen(evidence(n=N), partition([Group.NOISY] * N), targets(CLASSES), {})
    assert found.is_match.all()
    assert np.isnan(found.score).all()
    assert memory == {}


def test_the_reported_score_is_the_matchers_own_and_decides_by_a_plain_threshold(evidence, partition, targets) -> None:
    found, memory = reported(0.5)(
        evidence(n=N, match=Scores(table())), partition([Group.NOISY] * N), targets(CLASSES), {}
    )
    given = table()[np.arange(N), CLASSES]
    np.testing.assert_array_equal(found.score, given)
    np.testing.assert_array_equal(found.is_match, given >= 0.5)
    assert memory == {}


def test_without_a_matcher_nothing_is_reported_and_all_is_accepted(evidence, partition, targets) -> None:
    found, _ = reported()(evidence(n=N), partition([Group.NOISY] * N), targets(CLASSES), {})
    assert found.is_match.all()
    assert np.isnan(found.score).all()
