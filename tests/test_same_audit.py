"""The same audit bit for bit: in any row order, under any file names, from any folder, by command line or Python."""

import contextlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps
from sklearn.metrics.pairwise import cosine_similarity

from srrs import RobustClassifier, audit_labels, pipeline
from srrs.array_audit import zero_shot_logits
from srrs.audit.table import Audit
from srrs.cli import main
from srrs.config import Settings
from srrs.data.inputs import read_inputs

METHODS = ("srrs", "gce")
"""One whose decision reads nothing that is tuned, and one that tunes for its audit."""
CHOSEN = {"matcher": "none", "device": "cpu", "steps": 3, "views": 2, "learning_rate": 0.05, "seed": 2}
NAMES = ("cat", "dog", "sea horse")


@pytest.fixture(scope="module")
def mixed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn images with wrong labels, copies of one file within a class and across classes, and a broken one."""
    root = tmp_path_factory.mktemp("mixed") / "photos"
    shutil.copytree(photos, root)
    for number in range(2):
        shutil.move(root / "cat" / f"{number}.jpg", root / "dog" / f"moved-{number}.jpg")
    shutil.copy(root / "cat" / "3.jpg", root / "cat" / "copy.jpg")
    shutil.copy(root / "cat" / "3.jpg", root / "dog" / "copy.jpg")
    with Image.open(root / "dog" / "5.jpg") as image:
        ImageOps.mirror(image).save(root / "sea_horse" / "mirrored.jpg", quality=90)
    (root / "dog" / "broken.jpg").write_bytes(b"no image")
    return root


@pytest.fixture
def audit_of(clip_folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch) -> Callable[..., Audit]:
    """An audit through the pipeline, each with a feature cache of its own."""

    def audit(source: object, method: str = "srrs", **options: object) -> Audit:
        monkeypatch.setenv("SRRS_CACHE", str(tmp_path_factory.mktemp("own-cache")))
        settings = Settings.of(model=str(clip_folder), method=method, **CHOSEN)
        models = pipeline.load_models(settings)
        samples = read_inputs(source, **options).samples
        return pipeline.audit(pipeline.Request(samples, models, settings)).audit

    return audit


def table_of(root: Path, names: list[str]) -> pd.DataFrame:
    """Rows of images below a folder, labeled by their subfolder."""
    return pd.DataFrame({"id": names, "path": names, "label": [name.split("/")[0] for name in names]})


def names_below(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in sorted(root.glob("*/*.jpg"))]


def by_id(audit: Audit) -> pd.DataFrame:
    """The table without paths, by id."""
    return audit.to_pandas().drop(columns="path").set_index("id").sort_index()


def assert_same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one, other, check_exact=True)


@pytest.mark.parametrize("method", METHODS)
def test_rows_in_another_order_have_the_same_audit(mixed: Path, audit_of, method: str) -> None:
    names = names_below(mixed)
    expected = by_id(audit_of(mixed, method))
    assert expected.status.nunique() > 1
    for seed in (1, 2):
        shuffled = np.random.default_rng(seed).permutation(names).tolist()
        found = audit_of(table_of(mixed, shuffled), method, images=mixed)
        assert found.table.id.tolist() == shuffled
        assert_same(by_id(found), expected)


@pytest.mark.parametrize("method", METHODS)
def test_renamed_files_have_the_same_audit(mixed: Path, audit_of, tmp_path: Path, method: str) -> None:
    """Files of the same content and label may change places; every other row keeps its verdict to the bit."""
    names = names_below(mixed)
    renamed = {
        name: f"{name.split('/')[0]}/{number}.jpg"
        for number, name in enumerate(np.random.default_rng(0).permutation(names).tolist())
    }
    for name, new in renamed.items():
        (tmp_path / "renamed" / new).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(mixed / name, tmp_path / "renamed" / new)
    before = by_id(audit_of(mixed, method))
    after = by_id(audit_of(tmp_path / "renamed", method))
    found = after.loc[[renamed[name] for name in before.index]]
    found.index = before.index
    same = ["flags"]  # name other files
    copies = ["cat/3.jpg", "cat/copy.jpg"]
    assert_same(found.drop(columns=same, index=copies), before.drop(columns=same, index=copies))
    numbers = ["quality", "p_clean", "suggested_confidence"]
    assert sorted(map(tuple, found.loc[copies, numbers].to_numpy())) == sorted(
        map(tuple, before.loc[copies, numbers].to_numpy())
    )


def test_the_folder_and_the_place_it_is_run_from_change_nothing(mixed, audit_of, tmp_path: Path, monkeypatch) -> None:
    shutil.copytree(mixed, tmp_path / "elsewhere" / "images")
    expected = by_id(audit_of(mixed))
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert_same(by_id(audit_of("images")), expected)
    monkeypatch.chdir(tmp_path / "elsewhere" / "images")
    assert_same(by_id(audit_of(".")), expected)


@pytest.mark.parametrize("method", METHODS)
def test_the_command_line_the_pipeline_and_the_estimator_write_the_same_rows(
    mixed: Path, audit_of, clip_folder: Path, tmp_path: Path, monkeypatch, method: str
) -> None:
    words = ["audit", mixed, "--out", tmp_path / "out", "--model", clip_folder, "--method", method, "--json"]
    words += [f"--set={name}={value}" for name, value in CHOSEN.items()]
    names = names_below(mixed)
    table = table_of(mixed, np.random.default_rng(5).permutation(names).tolist())
    table.to_csv(tmp_path / "rows.csv", index=False)
    shuffled = ["audit", tmp_path / "rows.csv", "--images", mixed, "--out", tmp_path / "shuffled", *words[4:]]
    for command in (words, shuffled):
        monkeypatch.setattr(sys, "argv", ["srrs", *map(str, command)])
        with contextlib.suppress(SystemExit):
            main()
    expected = by_id(audit_of(mixed, method))
    for folder in ("out", "shuffled"):
        assert_same(by_id(Audit.from_json(tmp_path / folder / "audit.json")), expected)
    told = audit_of(mixed, method).to_csv(tmp_path / "own.csv").read_bytes()
    assert (tmp_path / "out" / "audit.csv").read_bytes() == told
    fitted = RobustClassifier(str(clip_folder), method=method, **CHOSEN).fit(mixed).audit_
    tuned = sorted(set(fitted.tuned) - set(expected))  # a fit tunes also where the decision does not need it
    assert_same(by_id(fitted).drop(columns=tuned), expected)


@pytest.mark.parametrize("method", METHODS)
def test_embeddings_in_another_order_have_the_same_audit(method: str) -> None:
    """With ids and without; copies of an embedding are told apart by their label and id."""
    rng = np.random.default_rng(0)
    classes = np.arange(90) % 3
    vectors = rng.normal(size=(3, 16))
    embeddings = vectors[classes] + rng.normal(size=(90, 16))
    embeddings[[5, 50]] = embeddings[7]
    labels = np.where(rng.random(90) < 0.2, (classes + 1) % 3, classes)
    order = rng.permutation(90)
    method = "linear-probe(screen=trust_all)" if method == "gce" else method
    settings = Settings.of(model="none", method=method, **CHOSEN)

    def audit(rows: np.ndarray, ids: bool) -> pd.DataFrame:
        given = {"class_names": list(NAMES), "class_vectors": vectors, "bare": True}
        if ids:
            named = [f"{row:03d}" for row in rows]
            frame = pd.DataFrame({"id": named, "label": [NAMES[label] for label in labels[rows]]})
            inputs = read_inputs(frame, features=embeddings[rows], **given)
        else:
            inputs = read_inputs(embeddings[rows], labels[rows].tolist(), **given)
        models = pipeline.load_models(settings, inputs.embeddings)
        made = pipeline.audit(pipeline.Request(inputs.samples, models, settings, features=inputs.features)).audit
        return made.to_pandas()

    for ids in (True, False):
        before, after = audit(np.arange(90), ids), audit(order, ids)
        after = after.iloc[np.argsort(order)].reset_index(drop=True)
        apart = [] if ids else ["id", "flags"]
        twins = [] if ids else [5, 7, 50]  # without ids, copies with one label may change places
        assert_same(after.drop(columns=apart, index=twins), before.drop(columns=apart, index=twins))


@pytest.mark.parametrize(("classes", "each"), [(80, 6), (2, 1500)])
def test_many_classes_and_many_images_of_a_class_have_the_same_audit_in_another_order(classes: int, each: int) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(classes), each)
    vectors = rng.normal(size=(classes, 16))
    features = (vectors[labels] + 0.3 * rng.normal(size=(len(labels), 16))).astype(np.float32)
    given = np.where(rng.random(len(labels)) < 0.1, (labels + 1) % classes, labels)
    order = rng.permutation(len(labels))

    def audit(rows: np.ndarray) -> pd.DataFrame:
        found = audit_labels(given[rows], features=features[rows], class_vectors=vectors, ids=[f"{r:05}" for r in rows])
        return found.table.set_index("id").sort_index()

    first, other = audit(np.arange(len(labels))), audit(order)
    assert_same(other.drop(columns="quality"), first.drop(columns="quality"))
    np.testing.assert_array_equal(other.quality, first.quality)
    wrong = given != labels
    assert (first.quality[wrong].mean(), first.quality[~wrong].mean()) == pytest.approx((0, 1), abs=0.2)


@pytest.mark.parametrize(("count", "size", "classes"), [(481, 16, 80), (7, 32, 3), (333, 512, 100)])
def test_zero_shot_logits_of_arrays_do_not_depend_on_the_position_of_a_row(count: int, size: int, classes: int) -> None:
    rng = np.random.default_rng(0)
    features, vectors = rng.normal(size=(count, size)).astype(np.float32), rng.normal(size=(classes, size))
    features[3] = features[5]
    logits = zero_shot_logits(features, vectors)
    cosines = cosine_similarity(features.astype(np.float64), vectors)
    np.testing.assert_allclose(logits, 100 * cosines, rtol=0, atol=1e-3)
    for _ in range(4):
        order = rng.permutation(count)
        np.testing.assert_array_equal(zero_shot_logits(features[order], vectors), logits[order])
