"""Tuning from embeddings: the same as from the images they were made of, and without any model."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from srrs import RobustClassifier
from srrs.cli import app
from srrs.errors import DataError, SettingsError

FAST = {"matcher": "none", "device": "cpu", "steps": 4, "views": 2, "learning_rate": 0.05}


def srrs(*words: object) -> dict:
    outcome = CliRunner().invoke(app, [*map(str, words), "--json"], catch_exceptions=False)
    assert outcome.exit_code == 0
    return json.loads(outcome.stdout)


@pytest.fixture(scope="module")
def embedded(photos: Path, clip_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("embedded")
    srrs("embed", photos, "--out", out, "--model", clip_folder, "--views", 2, "--seed", 3, "--device", "cpu")
    return out


@pytest.mark.parametrize("method", ["srrs", "coop"])
def test_tuning_from_embeddings_equals_tuning_from_the_images_bit_for_bit(
    embedded: Path, photos: Path, clip_folder: Path, tmp_path: Path, method: str
) -> None:
    options = ("--model", clip_folder, "--matcher", "none", "--device", "cpu", "--seed", 3, "--method", method)
    options += ("--set", "steps=4", "--set", "views=2")
    sources = {"images": (photos,), "features": (embedded,), "both": (photos, "--features", embedded)}
    for name, source in sources.items():
        srrs("fit", *source, "--out", tmp_path / name, *options)
    for name in ("features", "both"):
        for file in ("audit.csv", "head.safetensors", "prompts.safetensors"):
            assert (tmp_path / name / file).read_bytes() == (tmp_path / "images" / file).read_bytes(), (name, file)


def test_with_embeddings_no_image_is_opened(embedded: Path, clip_folder: Path, monkeypatch) -> None:
    monkeypatch.setattr("srrs.data.images._bytes", lambda *_: pytest.fail("opened an image"))
    classifier = RobustClassifier(str(clip_folder), **{**FAST, "matcher": "auto"}, method="coop").fit(embedded)
    assert len(classifier.audit_) == 18
    assert classifier.audit_.settings["matcher"] == "none"
    assert len(classifier.predict(embedded)) == 18


def test_embeddings_of_another_model_or_size_are_refused(embedded: Path, tmp_path: Path) -> None:
    import support

    other = support.tiny_clip(tmp_path / "other", seed=9)
    with pytest.raises(SettingsError, match=r"made by another model \('.*clip.*'\) than '.*other'"):
        RobustClassifier(str(other), **FAST).fit(embedded)
    with pytest.raises(SettingsError, match=r"Expected embeddings of 24 numbers each, .* have 5"):
        RobustClassifier(str(other), **FAST).fit(np.eye(5), list("ababa"))


def clouds(noise: float = 0.0, each: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Class vectors (3, 32), embeddings about them, their classes, and labels with some wrong."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3, 32))
    classes = np.arange(3 * each) % 3
    labels = np.where(rng.random(len(classes)) < noise, (classes + 1) % 3, classes)
    return vectors, vectors[classes] + rng.normal(size=(len(classes), 32)), classes, labels


NAMES = ("cat", "ferry", "ant")


@pytest.mark.parametrize(
    ("method", "with_vectors", "tuned"),
    [
        ("srrs", True, ("residual", "probe")),
        ("linear-probe", True, ("probe",)),
        ("linear-probe", False, ("probe",)),
        ("confident(tuners=probe)", False, ("probe",)),
        ("zero-shot", True, ("residual",)),
    ],
)
def test_without_a_model_wrong_labels_are_found_and_held_out_embeddings_named(with_vectors, method, tuned) -> None:
    vectors, embeddings, classes, labels = clouds(0.2)
    classifier = RobustClassifier("none", **{**FAST, "steps": 20}, method=method)
    classifier.fit(embeddings, labels, class_names=NAMES, class_vectors=vectors if with_vectors else None)
    table = classifier.audit_.to_pandas()
    assert table.id.tolist() == [str(n) for n in range(120)]
    assert table.given.tolist() == [NAMES[label] for label in labels]
    assert table.path.isna().all()
    assert classifier.audit_.tuned == tuned
    assert table.zero_shot.notna().all() == with_vectors
    if method == "srrs":
        wrong = labels != classes
        assert (table.suggested.to_numpy() == np.array(NAMES)[classes])[wrong].mean() > 0.9
        assert set(np.argsort(table.quality)[: wrong.sum() // 2]) <= set(np.flatnonzero(wrong))
    right = classifier.predict(embeddings) == np.array(NAMES, dtype=object)[classes]
    assert right.mean() > 0.9


@pytest.mark.parametrize("method", ["coop", "srrs-paper", "deft", "tecoprompt"])
def test_without_a_model_a_method_that_tunes_only_prompts_is_refused(method: str) -> None:
    vectors, embeddings, _, labels = clouds()
    classifier = RobustClassifier("none", **FAST, method=method)
    with pytest.raises(SettingsError, match=f"The method '{method}' tunes prompts, but there is no text tower"):
        classifier.fit(embeddings, labels, class_names=NAMES, class_vectors=vectors)


def test_zero_shot_without_class_vectors_is_refused() -> None:
    _, embeddings, _, labels = clouds()
    with pytest.raises(SettingsError, match="The method 'zero-shot' tunes prompts, but there is no text tower"):
        RobustClassifier("none", **FAST, method="zero-shot").fit(embeddings, labels, class_names=NAMES)


def test_the_untuned_prediction_is_that_of_the_class_vectors() -> None:
    vectors, embeddings, _, labels = clouds()
    classifier = RobustClassifier("none", **FAST, method="zero-shot")
    classifier.fit(embeddings, labels, class_names=NAMES, class_vectors=vectors)
    np.testing.assert_allclose(classifier.head_, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), rtol=1e-5)
    assert classifier.logit_scale_ == 100


def test_a_residual_may_start_from_the_vectors_of_the_described_classes(tmp_path: Path) -> None:
    vectors, embeddings, _, labels = clouds()
    arrays = {"embeddings": embeddings, "class_names": NAMES, "class_vectors": vectors, "labels": labels}
    np.savez(tmp_path / "f.npz", **arrays, described_vectors=np.roll(vectors, 1, axis=0))
    method = "zero-shot(tuners=[task_residual, task_residual(name='looks', described=True)])"
    table = RobustClassifier("none", **FAST, method=method).fit(tmp_path / "f.npz").audit_.to_pandas()
    assert (table.task_residual == table.given).mean() > 0.9
    assert (table.looks == table.given).mean() < 0.1


def test_what_was_tuned_on_embeddings_is_saved_loaded_and_predicts(tmp_path: Path, photos: Path) -> None:
    vectors, embeddings, classes, labels = clouds(0.1)
    ids = [f"{n:03}" for n in range(120)]
    np.savez(tmp_path / "all.npz", embeddings=embeddings, ids=ids, labels=labels, class_names=NAMES)
    np.savez(tmp_path / "new.npz", embeddings=embeddings[:5], ids=ids[:5])
    np.savez(tmp_path / "classes.npz", class_vectors=vectors, class_names=NAMES)
    model = tmp_path / "model"
    options = ("--model", "none", "--class-vectors", tmp_path / "classes.npz", "--set", "steps=3", "--device", "cpu")
    outcome = srrs("fit", "--features", tmp_path / "all.npz", "--test", tmp_path / "all.npz", "--out", model, *options)
    assert outcome["accuracy"] > 0.8
    assert pd.read_csv(model / "audit.csv", dtype=str).id.tolist() == ids
    found = srrs("predict", model, "--features", tmp_path / "new.npz")["predictions"]
    assert [row["id"] for row in found] == ids[:5]
    assert [row["predicted"] for row in found] == [NAMES[c] for c in classes[:5]]
    loaded = RobustClassifier.load(model)
    assert RobustClassifier.load(loaded.save(tmp_path / "again")).predict(embeddings).tolist() == (
        loaded.predict(embeddings).tolist()
    )
    assert loaded.score(embeddings, labels) == pytest.approx(
        (loaded.predict(embeddings) == np.array(NAMES)[labels]).mean()
    )
    with pytest.raises(SettingsError, match="no model to encode images with"):
        loaded.predict(photos)
    with pytest.raises(SettingsError, match="Expected embeddings of 32 numbers each"):
        loaded.predict(np.eye(3))


def test_class_vectors_beside_a_model_are_refused_or_said_to_be_unused(
    embedded: Path, photos: Path, clip_folder: Path, tmp_path: Path
) -> None:
    labels = pd.read_csv(embedded / "samples.csv", dtype=str).label.tolist()
    names = sorted(set(labels))
    classifier = RobustClassifier(str(clip_folder), **FAST, method="zero-shot")
    for source in (embedded, photos):
        with pytest.raises(DataError, match=r"class vectors only without a model, .* Give --model none to use"):
            classifier.fit(source, class_vectors=np.ones((3, 24)), class_names=names)
    arrays = load_file(embedded / "features.safetensors")
    np.savez(tmp_path / "all.npz", **arrays, labels=labels, class_names=names, class_vectors=np.eye(3, 24))
    beside = classifier.fit(tmp_path / "all.npz")
    assert [note for note in beside.notes_ if "class vectors" in note] == [
        f"The class vectors in {tmp_path / 'all.npz'} are not used, since there is a model; --model none uses them."
    ]
    alone = RobustClassifier(str(clip_folder), **FAST, method="zero-shot").fit(embedded)
    np.testing.assert_array_equal(beside.head_, alone.head_)
    assert not any("class vectors" in note for note in alone.notes_)
    bare = RobustClassifier("none", **FAST, method="zero-shot").fit(tmp_path / "all.npz")
    assert not any("class vectors" in note for note in bare.notes_)


def test_neither_images_nor_embeddings_are_refused(photos: Path) -> None:
    with pytest.raises(DataError, match="got neither"):
        RobustClassifier("none").fit()
    with pytest.raises(SettingsError, match=r"Without a model .* there must be embeddings"):
        RobustClassifier("none").fit(photos)


def test_every_source_of_the_same_images_gives_the_same_verdicts(
    photos: Path, clip_folder: Path, tmp_path: Path
) -> None:
    paths = sorted(photos.glob("*/*.jpg"))
    names = [path.relative_to(photos).as_posix() for path in paths]
    frame = pd.DataFrame({"id": names, "path": names, "label": [path.parent.name for path in paths]})
    shutil.copytree(photos / "cat", tmp_path / "more" / "cat")
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    sources = [(photos, {}), (frame, {"images": photos})]
    sources += [(tmp_path / name, {"images": [tmp_path / "more", photos]}) for name in ("t.parquet", "t.tsv")]
    blobs = frame.assign(path=[{"bytes": path.read_bytes(), "path": None} for path in paths])
    sources.append((blobs, {}))
    try:
        import polars

        sources.append((polars.from_pandas(frame), {"images": photos}))
    except ImportError:
        pass
    try:
        import datasets

        features = datasets.Features(
            {"path": datasets.Image(), "label": datasets.Value("string"), "id": datasets.Value("string")}
        )
        columns = {"path": list(map(str, paths)), "label": frame.label.tolist(), "id": names}
        sources.append((datasets.Dataset.from_dict(columns, features=features), {}))
    except ImportError:
        pass
    tables = [
        RobustClassifier(str(clip_folder), **FAST, method="coop").fit(source, **columns).audit_.to_pandas()
        for source, columns in sources
    ]
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table.drop(columns="path"), tables[0].drop(columns="path"), check_exact=True)
