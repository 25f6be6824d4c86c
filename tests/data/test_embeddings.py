"""Embeddings from elsewhere: what they may look like, and what is said where they cannot be used."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from srrs.data.embeddings import Embeddings, is_embeddings, read_embeddings
from srrs.data.inputs import read_inputs
from srrs.errors import DataError

IDS = ["007", "a,b", 'q"uote', "ünï côdé", "7", "new\nline"]
NAMES = ["sea horse", "cat"]


def plain_of(inputs):
    """(N, D) features of the rows."""
    return inputs.features.rows(slice(None))[0]


def unit(*shape: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def written(folder: Path, kind: str, ids=IDS, labels=(1, 0, 1, 0, -1, 1)) -> tuple[Path, np.ndarray]:
    vectors, path = unit(len(ids), 5), folder / f"f.{kind}"
    words = [NAMES[label] if label >= 0 else "" for label in labels]
    if kind == "npz":
        np.savez(path, embeddings=vectors, ids=ids, labels=np.array(labels), class_names=NAMES)
    elif kind == "safetensors":
        texts = {"ids": json.dumps(ids), "labels": json.dumps(words), "model": "12345"}
        save_file({"embeddings": vectors}, path, metadata=texts)
    else:
        pd.DataFrame({"id": ids, "label": words, "embedding": list(vectors)}).to_parquet(path)
    return path, vectors


@pytest.mark.parametrize("kind", ["npz", "safetensors", "parquet"])
def test_every_format_keeps_ids_labels_order_and_bits(tmp_path: Path, kind: str) -> None:
    path, vectors = written(tmp_path, kind)
    assert is_embeddings(path)
    inputs = read_inputs(path)
    assert inputs.samples.ids == tuple(IDS)
    assert inputs.samples.given == ("cat", "sea horse", "cat", "sea horse", "", "cat")
    assert inputs.samples.issues == ("", "", "", "", "no label", "")
    np.testing.assert_array_equal(plain_of(inputs), vectors)
    assert inputs.features.views.shape == (6, 0, 5)
    assert read_embeddings(path).model == ("12345" if kind == "safetensors" else "")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1), min_size=2, unique=True))
def test_a_table_finds_its_embeddings_by_any_id_in_any_order(ids: list[str]) -> None:
    vectors, order = unit(len(ids), 4), np.random.default_rng(1).permutation(len(ids))
    embeddings = read_embeddings(vectors)
    embeddings = Embeddings(embeddings.features, embeddings.issues, ids=tuple(ids))
    frame = pd.DataFrame({"id": [ids[at] for at in order], "label": [str(at % 2) for at in range(len(ids))]})
    inputs = read_inputs(frame, features=embeddings)
    assert inputs.samples.ids == tuple(frame.id)
    np.testing.assert_array_equal(plain_of(inputs), vectors[order])


def test_rows_without_and_with_bad_embeddings_have_an_issue(tmp_path: Path) -> None:
    vectors = unit(4, 3) * np.array([[1], [2], [0], [1]])
    vectors[3, 1] = np.nan
    np.savez(tmp_path / "f.npz", features=vectors, ids=["a", "b", "c", "d"])
    (tmp_path / "t.csv").write_text("id,label\nd,x\nz,x\nb,y\nc,y\na,\n")
    inputs = read_inputs(tmp_path / "t.csv", features=tmp_path / "f.npz")
    issues = ["embedding is not finite", "no embedding", "", "embedding is zero", "no label"]
    assert list(inputs.samples.issues) == issues
    lengths = np.linalg.norm(plain_of(inputs), axis=1)
    np.testing.assert_allclose(lengths[[0, 2, 3, 4]], [0, 1, 0, 1], atol=1e-6)  # row 1 has none, and is not used
    assert any("1 of 4 embeddings" in note and "not of unit length" in note for note in inputs.samples.notes)


def test_photographs_are_found_by_path_and_need_not_be_there(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", features=unit(3, 3), ids=["1", "2", "3"], paths=["p/a.jpg", "p/b.jpg", "q.jpg"])
    frame = pd.DataFrame({"path": ["b.jpg", "a.jpg"], "label": ["x", "y"]})
    inputs = read_inputs(frame, features=tmp_path / "f.npz", images="p")
    np.testing.assert_array_equal(plain_of(inputs), unit(3, 3)[[1, 0]])
    assert any("1 embeddings" in note and "belong to no row" in note for note in inputs.samples.notes)


def test_embeddings_without_ids_go_row_by_row_but_never_with_a_folder(tmp_path: Path, photos: Path) -> None:
    frame = pd.DataFrame({"path": ["b", "b", "a"], "label": ["x", "y", "y"]})
    assert read_inputs(frame, features=unit(3, 4)).samples.ids == ("b", "b#2", "a")
    with pytest.raises(DataError, match="found 2 embeddings and 3 rows"):
        read_inputs(frame, features=unit(2, 4))
    np.savez(tmp_path / "f.npz", features=unit(18, 4))
    with pytest.raises(DataError, match=r"Expected ids in .*f\.npz"):
        read_inputs(photos, features=tmp_path / "f.npz")


def test_arrays_take_labels_as_words_or_places() -> None:
    words = read_inputs(unit(3, 4), ["b", "a", None]).samples
    places = read_inputs(unit(3, 4), np.array([1, 0, -1]), class_names=["a", "b"]).samples
    for samples in (words, places):
        assert samples.ids == ("0", "1", "2")
        assert samples.given == ("b", "a", "")
    with pytest.raises(DataError, match="one label per embedding, but got 3 and 2"):
        read_inputs(unit(3, 4), ["a", "b"])
    with pytest.raises(DataError, match="Expected labels beside the embeddings"):
        read_inputs(unit(3, 4))


def test_class_vectors_are_checked_and_fix_the_classes(tmp_path: Path) -> None:
    np.savez(tmp_path / "c.npz", class_vectors=3 * unit(3, 4), class_names=["z", "a", "b"], logit_scale=20.0)
    inputs = read_inputs(unit(4, 4), ["a", "b", "b", "a"], class_vectors=tmp_path / "c.npz", bare=True)
    assert inputs.samples.class_names == ("z", "a", "b")
    assert inputs.samples.labels.tolist() == [1, 2, 2, 1]
    classes = inputs.embeddings.classes
    np.testing.assert_allclose(classes.plain, unit(3, 4), atol=1e-6)
    assert classes.logit_scale == 20
    with pytest.raises(DataError, match=r"Expected the classes z, a, b .*but found 'c'"):
        read_inputs(unit(2, 4), ["a", "c"], class_vectors=tmp_path / "c.npz", bare=True)
    pd.DataFrame({"class_name": ["x", "y"], "vector": list(unit(2, 4))}).to_parquet(tmp_path / "c.parquet")
    assert read_embeddings(unit(2, 4), tmp_path / "c.parquet").classes.names == ("x", "y")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"nothing": unit(2, 2)}, "under one of plain, embeddings, .*but found nothing"),
        ({"features": unit(2, 2, 2)}, r"embeddings \(n, D\) in .*shape \(2, 2, 2\)"),
        ({"features": np.zeros((0, 4))}, r"shape \(0, 4\)"),
        ({"features": np.zeros((3, 4))}, "finite and not zero in .*none among 3"),
        ({"features": np.array([["a"]])}, "several lengths or texts"),
        ({"features": unit(2, 3), "views": unit(2, 1, 4)}, r"shape \(2, V, 3\) in .*found \(2, 1, 4\)"),
        ({"features": unit(2, 3), "ids": ["a"]}, "ids for each of the 2 embeddings .*found 1"),
        ({"features": unit(2, 3), "ids": ["a", "a"]}, "'a' has several"),
        (
            {"features": unit(2, 3), "labels": [0, 2], "class_names": NAMES},
            "positions from 0 to 1 .* found 2",
        ),
        ({"features": unit(2, 3), "class_vectors": unit(2, 3)}, "Expected class_names for the class_vectors"),
        (
            {"features": unit(2, 3), "class_vectors": unit(2, 4), "class_names": NAMES},
            r"shape \(2, 3\) .*found \(2, 4\)",
        ),
        (
            {"features": unit(2, 3), "class_vectors": np.eye(2, 3) * [[1], [0]], "class_names": NAMES},
            "that of 'cat' is not",
        ),
        (
            {"features": unit(2, 3), "class_vectors": unit(2, 3), "class_names": NAMES, "logit_scale": -1},
            "logit_scale to be one number above 0",
        ),
    ],
)
def test_wrong_shapes_say_what_was_expected(tmp_path: Path, arrays: dict, message: str) -> None:
    np.savez(tmp_path / "f.npz", **arrays)
    with pytest.raises(DataError, match=message):
        read_embeddings(tmp_path / "f.npz")


@pytest.mark.parametrize("kind", ["npz", "safetensors", "parquet"])
def test_damaged_missing_and_strange_files_are_told(tmp_path: Path, kind: str) -> None:
    path, _ = written(tmp_path, kind)
    path.write_bytes(path.read_bytes()[:90])
    with pytest.raises(DataError, match=rf"f\.{kind}"):
        read_embeddings(path)
    with pytest.raises(DataError, match="found no such file"):
        read_embeddings(tmp_path / f"none.{kind}")
    (tmp_path / "f.txt").touch()
    with pytest.raises(DataError, match="found another kind of file"):
        read_embeddings(tmp_path / "f.txt")


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    for count in (2, 300):  # a pickle of many equal texts is smaller than the pointers to them
        ids = np.array(["a", None] * (count // 2), dtype=object)
        np.savez(tmp_path / "f.npz", embeddings=unit(count, 3), ids=ids)
        with pytest.raises(DataError, match="holds pickled objects: save texts as plain text arrays"):
            read_embeddings(tmp_path / "f.npz")


@pytest.mark.parametrize(("kind", "found"), [(complex, "complex numbers"), (bool, "truth values")])
def test_embeddings_of_other_numbers_are_named(tmp_path: Path, kind: type, found: str) -> None:
    np.savez(tmp_path / "f.npz", embeddings=unit(2, 3).astype(kind))
    with pytest.raises(DataError, match=rf"Expected embeddings .* of real numbers in .*f\.npz, but found {found}"):
        read_embeddings(tmp_path / "f.npz")
