"""`RobustClassifier` as an estimator of scikit-learn: its own checks, and its tools on arrays of embeddings."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.utils.estimator_checks import parametrize_with_checks

from srrs import RobustClassifier
from srrs.config import Settings
from srrs.errors import SettingsError
from srrs.methods.spec import method as method_named
from srrs.methods.stages import TunerSpec

FAILING = {
    "check_estimators_pickle": "rows with NaN have the prediction None, which the check subtracts",
    "check_array_api_input": "features are numpy arrays; needs SCIPY_ARRAY_API",
}
"""Checks that do not apply, with the reason."""


def expected(estimator: RobustClassifier) -> dict[str, str]:
    return FAILING


@parametrize_with_checks([RobustClassifier("none", steps=10)], expected_failed_checks=expected)
def test_the_checks_of_scikit_learn_hold(estimator: RobustClassifier, check) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # noise without signal has no mixture of two parts
        check(estimator)


def clouds(noise: float = 0.0, each: int = 20, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (N, 16) of three classes, and their labels, some of them wrong."""
    rng = np.random.default_rng(seed)
    classes = np.arange(3 * each) % 3
    features = np.eye(3)[classes] @ np.random.default_rng(9).normal(size=(3, 16)) + 0.4 * rng.normal(
        size=(3 * each, 16)
    )
    wrong = rng.random(len(classes)) < noise
    return features, np.where(wrong, (classes + 1) % 3, classes)


def test_parameters_are_the_settings_and_their_defaults() -> None:
    parameters = RobustClassifier().get_params()
    assert parameters.pop("tuners") is None
    assert parameters == Settings().flat()


@pytest.mark.parametrize("labels", [["cat", "dog", "emu"], [3, 5, 9], [-1, 0, 1]])
def test_predictions_are_the_labels_as_they_were_given(labels: list) -> None:
    features, classes = clouds()
    given = np.array(labels)[classes]
    classifier = RobustClassifier("none", steps=10).fit(features, given)
    assert classifier.classes_.tolist() == labels
    assert classifier.classes_.dtype == given.dtype
    assert (classifier.predict(features) == given).mean() > 0.95
    assert classifier.score(features, given) == (classifier.predict(features) == given).mean()
    assert classifier.audit_.to_pandas().given.tolist() == list(map(str, given))


def test_cross_validation_a_grid_search_and_a_pipeline_work_on_arrays() -> None:
    features, labels = clouds(0.1)
    classifier = RobustClassifier("none", steps=5)
    assert cross_val_score(classifier, features, labels, cv=3).mean() > 0.75
    search = GridSearchCV(classifier, {"method": ["srrs", "linear-probe"], "steps": [1, 5]}, cv=2)
    search.fit(features, labels)
    assert set(search.best_params_) == {"method", "steps"}
    assert search.predict(features).shape == (60,)
    pipeline = make_pipeline(Normalizer(), classifier)
    assert pipeline.fit(features, labels).score(features, labels) > 0.75
    assert pipeline.set_params(robustclassifier__steps=2)[-1].steps == 2


def test_a_frame_of_numbers_is_a_matrix() -> None:
    features, labels = clouds()
    frame = pd.DataFrame(features, columns=[f"f{n}" for n in range(16)])
    classifier = RobustClassifier("none", steps=5).fit(frame, labels)
    assert classifier.feature_names_in_[0] == "f0"
    np.testing.assert_array_equal(classifier.predict(frame), classifier.predict(frame.iloc[:40]).tolist() + list(
        classifier.predict(frame.iloc[40:])))  # fmt: skip


def test_rows_that_are_no_numbers_have_no_prediction() -> None:
    features, labels = clouds()
    features[3] = np.nan
    classifier = RobustClassifier("none", steps=5).fit(features, labels)
    assert classifier.audit_.to_pandas().status[3] == "unusable"
    found = classifier.predict(features)
    assert found[3] is None
    assert found[4] in (0, 1, 2)
    with pytest.raises(ValueError, match="X has 5 features, but RobustClassifier is expecting 16"):
        classifier.predict(np.ones((2, 5)))


def test_values_that_make_no_sense_are_refused_by_fit_and_unknown_names_at_once() -> None:
    features, labels = clouds()
    with pytest.raises(SettingsError, match="steps must be at least 0, but is -1"):
        RobustClassifier("none", steps=-1).fit(features, labels)
    with pytest.raises(ValueError, match="Invalid parameter 'stepz'"):
        RobustClassifier("none").set_params(stepz=3)
    with pytest.raises(TypeError, match="stepz"):
        RobustClassifier("none", stepz=3)
    with pytest.raises(ValueError, match="at least two classes, but there is one class"):
        RobustClassifier("none").fit(features, np.zeros(60))


def test_methods_tuners_and_models_may_be_objects(clip_folder, photos) -> None:
    from srrs import load_model
    from srrs.tuners import tuner_class

    features, labels = clouds()
    chosen = method_named("linear-probe")
    kind = chosen.tuners[0].kind
    named = RobustClassifier("none", method="linear-probe", steps=5).fit(features, labels)
    for classifier in (
        RobustClassifier("none", method=chosen, steps=5),
        RobustClassifier("none", method=chosen, tuners=[kind], steps=5),
        RobustClassifier("none", method=chosen, tuners=[tuner_class(kind)], steps=5),
        RobustClassifier("none", method=chosen, tuners=[TunerSpec("mine", kind)], steps=5),
    ):
        np.testing.assert_array_equal(clone(classifier).fit(features, labels).head_, named.head_)
    model = load_model(str(clip_folder), "cpu")
    fast = {"matcher": "none", "method": "coop", "steps": 2, "views": 0, "device": "cpu"}
    by_object = RobustClassifier(model, **fast)
    assert clone(by_object).model is model
    by_name = RobustClassifier(str(clip_folder), **fast).fit(photos)
    np.testing.assert_array_equal(by_object.fit(photos).head_, by_name.head_)
    np.testing.assert_array_equal(by_object.predict(photos), by_name.predict(photos))
    with pytest.raises(SettingsError, match=r"cannot be pickled: give the model's name instead, or use save\(folder\)"):
        pickle.dumps(by_object)


def test_a_fitted_classifier_can_be_pickled() -> None:
    features, labels = clouds()
    classifier = RobustClassifier("none", steps=5).fit(features, labels)
    again = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(again.predict_proba(features), classifier.predict_proba(features))
    assert again.audit_.summary().to_dict() == classifier.audit_.summary().to_dict()


@pytest.mark.parametrize("labels", [["cat", "dog", "emu"], [3, 5, 9]])
def test_a_saved_classifier_of_an_array_predicts_the_same_labels(labels: list, tmp_path) -> None:
    features, classes = clouds()
    classifier = RobustClassifier("none", steps=5).fit(features, np.array(labels)[classes])
    loaded = RobustClassifier.load(classifier.save(tmp_path))
    assert loaded.predict(features).tolist() == classifier.predict(features).tolist()


def test_trust_reaches_the_decision(monkeypatch) -> None:
    from srrs.methods import zoo

    asked, decision = [], zoo.screen.decision
    monkeypatch.setattr(
        zoo.screen, "decision", lambda trust="auto", **rest: asked.append(trust) or decision(trust, **rest)
    )
    features, labels = clouds()
    RobustClassifier("none", steps=1, trust="labels").fit(features, labels)
    assert asked == ["labels"]
