"""The ONNX graph, run by onnxruntime on pixels made as its JSON says, against the classifier itself."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import support
from srrs import RobustClassifier
from srrs.errors import DataError, MissingExtraError, ModelError, NotFittedError
from srrs.export import onnx as exported
from srrs.models.hub import load_model

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
pytest.importorskip("onnxscript", reason="needs the extra onnx")
FAST = {"matcher": "none", "device": "cpu", "steps": 2, "views": 0}
MAKERS = {"clip": support.tiny_clip, "siglip": support.tiny_siglip, "dual": support.tiny_dual}


def pixels(path: Path, settings: dict) -> np.ndarray:
    """(3, H, W) with Pillow and numpy alone."""
    image, size = Image.open(path).convert("RGB"), settings["resize"]
    if isinstance(size, int):
        scale = size / min(image.size)
        size = [int(image.height * scale), int(image.width * scale)]
    image = image.resize((size[1], size[0]), settings["resample"])
    if settings["crop"]:
        height, width = settings["crop"]
        left, top = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))
    values = np.asarray(image, dtype=np.float32) * settings["rescale"]
    return ((values - settings["mean"]) / settings["std"]).transpose(2, 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> RobustClassifier:
    model = support.tiny_clip(tmp_path_factory.mktemp("tower"), layers=1)
    return RobustClassifier(str(model), method="coop", **FAST).fit(photos)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory, fitted: RobustClassifier) -> Path:
    """The graph of a saved classifier; to write one takes seconds."""
    folder = tmp_path_factory.mktemp("graph")
    loaded = RobustClassifier.load(fitted.save(folder / "model"))
    return loaded.to_onnx(folder / "graph.onnx")[0]


def assert_same_probabilities(classifier: RobustClassifier, photos: Path, graph: Path) -> None:
    told = json.loads(graph.with_name("graph.onnx.json").read_text())
    assert told["class_names"] == list(classifier.classes_)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    files = sorted(photos.rglob("*.jpg"))
    for part in (files[:1], files):  # the batch is free
        fed = np.stack([pixels(file, told["preprocessing"]) for file in part])
        (probs,) = session.run([told["output"]["name"]], {told["input"]["name"]: fed})
        np.testing.assert_allclose(probs, classifier.predict_proba(list(map(str, part))), atol=1e-4)


def test_the_graph_of_a_saved_classifier_gives_its_probabilities(fitted, graph: Path, photos: Path) -> None:
    assert_same_probabilities(fitted, photos, graph)


@pytest.mark.parametrize("kind", ["siglip", "dual"])
def test_so_does_that_of_other_kinds_of_models(kind: str, photos: Path, tmp_path: Path) -> None:
    classifier = RobustClassifier(str(MAKERS[kind](tmp_path / "model")), method="coop", **FAST).fit(photos)
    assert_same_probabilities(classifier, photos, classifier.to_onnx(tmp_path / "graph.onnx")[0])


def test_the_graph_is_one_file_without_the_text_tower(fitted, graph: Path) -> None:
    tower = load_model(fitted._image_tower().name, "cpu", kernels="torch").model
    image = sum(p.nbytes for p in (*tower.vision_model.parameters(), *tower.visual_projection.parameters()))
    both = sum(p.nbytes for p in tower.parameters())
    assert image < graph.stat().st_size < image + 60_000 < both
    assert not list(graph.parent.glob("*.data"))


def test_an_unfitted_classifier_has_no_graph(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError, match="not fitted yet"):
        RobustClassifier("bundled").to_onnx(tmp_path / "graph.onnx")


def test_without_its_packages_the_extra_is_named(fitted, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'srrs\[onnx\]'"):
        fitted.to_onnx(tmp_path / "graph.onnx")


def test_a_tower_above_what_one_file_can_hold_is_refused(fitted, tmp_path: Path, monkeypatch) -> None:
    weight = SimpleNamespace(const_value=SimpleNamespace(nbytes=2**31))
    program = SimpleNamespace(model=SimpleNamespace(graph=SimpleNamespace(initializers={"weight": weight})))
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: program)
    with pytest.raises(ModelError, match=r"Expected an image tower below 2 GB, .* has 2,147,483,648 bytes"):
        fitted.to_onnx(tmp_path / "graph.onnx")
    assert not list(tmp_path.iterdir())


def test_a_tower_that_onnx_cannot_say_is_refused_in_a_sentence(fitted, tmp_path: Path, monkeypatch) -> None:
    def export(*arguments, **options):
        raise torch.onnx.OnnxExporterError("it attends to the moon\nand more")

    monkeypatch.setattr(torch.onnx, "export", export)
    with pytest.raises(ModelError, match=r"The image tower of '.*' cannot be written as ONNX: it attends to the moon$"):
        fitted.to_onnx(tmp_path / "graph.onnx")


def test_a_path_that_cannot_be_written_is_said(fitted, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(exported, "_graph", lambda *_: b"graph")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="Cannot write"):
        fitted.to_onnx(tmp_path / "file" / "graph.onnx")
