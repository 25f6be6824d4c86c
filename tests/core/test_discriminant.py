import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from srrs.core.discriminant import out_of_fold


def test_predictions_are_those_of_a_discriminant_that_never_saw_the_fold() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(240) % 3
    features = rng.normal(size=(240, 4)) + 1.5 * np.eye(3, 4)[labels]
    fold = np.arange(240) // 60
    probs = out_of_fold(features, np.eye(3)[labels], fold, shrink=0.0, temper=1.0)
    for number in range(4):
        held = fold == number
        peer = LinearDiscriminantAnalysis(priors=np.full(3, 1 / 3)).fit(features[~held], labels[~held])
        np.testing.assert_allclose(probs[held], peer.predict_proba(features[held]), atol=0.03)
    np.testing.assert_allclose(probs.sum(1), 1)


def test_with_a_single_fold_nothing_is_known() -> None:
    assert (out_of_fold(np.eye(4), np.eye(4)[:, :2] + 0.5, np.zeros(4, int)) == 0.5).all()


def test_a_class_nobody_shows_and_equal_features_do_no_harm() -> None:
    soft = np.eye(3)[[0, 1, 0, 1]]
    assert np.isfinite(out_of_fold(np.ones((4, 2)), soft, np.array([0, 0, 1, 1]))).all()
