"""Embeddings without a text tower and without class vectors: the decision has the images and the given labels alone."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from srrs import RobustClassifier, pipeline
from srrs.audit.table import Audit
from srrs.config import Settings
from srrs.core.noise import NoiseSpec, flip
from srrs.data.inputs import read_inputs
from srrs.data.samples import checked, from_paths
from srrs.features.store import encode

NAMES = [f"kind {letter}" for letter in "abcdefghijklmnopqrst"]


@pytest.fixture(scope="module")
def bundled() -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (N, D) of the bundled training images by the bundled model, and their classes."""
    root = Path(str(files("srrs") / "assets" / "photos" / "train"))
    paths = sorted(root.glob("*/*.jpg"))
    samples = checked(from_paths(paths, [path.parent.name for path in paths]))
    tower = pipeline.load_models(Settings.of(model="bundled", matcher="none")).image
    found = encode(samples, samples.usable, tower, views=0)
    return np.asarray(found.plain, np.float32), np.asarray(samples.labels)


def audited(
    embeddings: np.ndarray, labels: np.ndarray, names: list[str] = NAMES, descriptions: Path | None = None
) -> Audit:
    inputs = read_inputs(embeddings, labels.tolist(), class_names=names, bare=True)
    settings = Settings.of(model="none", device="cpu")
    models = pipeline.load_models(settings, inputs.embeddings)
    request = pipeline.Request(inputs.samples, models, settings, features=inputs.features, descriptions=descriptions)
    return pipeline.audit(request).audit


@pytest.mark.parametrize("kind", ["sym", "pair"])
@pytest.mark.parametrize("rate", [0.0, 0.2])
def test_labels_do_not_get_noisier_and_the_rate_of_scattered_mistakes_is_estimated(bundled, kind, rate) -> None:
    embeddings, classes = bundled
    labels = flip(classes, [str(row) for row in range(len(classes))], 20, NoiseSpec(kind, rate), seed=1)
    audit = audited(embeddings, labels)
    wrong = (labels != classes).mean()
    suggested = audit.table.suggested.map(NAMES.index).to_numpy()
    assert (suggested != classes).mean() <= wrong
    if kind == "sym":  # labels that all go wrong the same way look like images between two classes
        assert audit.noise.rate == pytest.approx(wrong, abs=0.08)
        assert audit.noise.low <= wrong <= audit.noise.high


def test_nothing_is_tuned_and_nothing_is_predicted_by_an_untuned_model(bundled, tmp_path: Path) -> None:
    embeddings, classes = bundled
    audit = audited(embeddings, classes)
    assert audit.tuned == ()
    assert audit.table.zero_shot.isna().all()
    assert audit.settings["text_passes"] == 0
    assert not any("No description" in finding.text for finding in audit.findings)
    table = tmp_path / "described.json"
    table.write_text('{"kind a": "with one letter"}')
    told = audited(embeddings, classes, descriptions=table)
    assert any("No description" in finding.text for finding in told.findings)
    assert any("other images had the most weight" in finding.text for finding in audit.findings)
    assert audit.trusted


def test_scattered_wrong_labels_are_found_and_put_right() -> None:
    rng = np.random.default_rng(0)
    classes = np.arange(600) % 3
    embeddings = rng.normal(size=(3, 32))[classes] + rng.normal(size=(600, 32))
    wrong = rng.random(600) < 0.2
    labels = np.where(wrong, (classes + rng.integers(1, 3, 600)) % 3, classes)
    audit = audited(embeddings, labels, ["ant", "cat", "ferry"])
    assert (audit.table.suggested.map(["ant", "cat", "ferry"].index) == classes).mean() > 0.98
    ranked = np.argsort(audit.table.quality.to_numpy())[: wrong.sum()]
    assert wrong[ranked].mean() > 0.95


def test_a_classifier_is_tuned_on_the_rectified_labels() -> None:
    rng = np.random.default_rng(0)
    classes = np.arange(300) % 3
    embeddings = 2 * rng.normal(size=(3, 32))[classes] + rng.normal(size=(300, 32))
    labels = np.where(rng.random(300) < 0.3, rng.integers(0, 3, 300), classes)
    classifier = RobustClassifier("none", device="cpu", steps=20).fit(embeddings[:200], labels[:200])
    assert classifier.audit_.tuned == ("probe",)
    assert (classifier.predict(embeddings[200:]).astype(int) == classes[200:]).mean() > 0.98
