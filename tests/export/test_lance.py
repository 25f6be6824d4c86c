"""Features as a Lance dataset: written with one fragment for each part, read back bit for bit, audited as before."""

import builtins
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from srrs.cli import app
from srrs.data import lance_tables
from srrs.data.embeddings import is_embeddings, read_embeddings
from srrs.data.lance_tables import read_lance
from srrs.errors import DataError, MissingExtraError
from srrs.export.lance import write_lance
from srrs.io import save_tensors

lance = pytest.importorskip("lance", reason="Lance is an extra")
import pyarrow as pa  # noqa: E402

RNG = np.random.default_rng(0)


def embedded(folder: Path, sizes: tuple[int, ...], views: int = 2, labeled: bool = True) -> Path:
    """A folder as `srrs embed` writes it: one file, or parts with these numbers of rows."""
    for number, count in enumerate(sizes, 1):
        suffix = f"-{number:05}-of-{len(sizes):05}" if len(sizes) > 1 else ""
        vectors = RNG.normal(size=(count, 1 + views, 8))
        vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
        arrays = {"plain": np.ascontiguousarray(vectors[:, 0], np.float16), "views": vectors[:, 1:].astype(np.float16)}
        about = {"model": "m", "model_name": "a model", "part_of_rows": str(sum(sizes))}
        save_tensors(folder / f"features{suffix}.safetensors", arrays, about)
        lines = [f"é{number}/{row}.png,x/{row}.png,{'ab'[row % 2] * labeled},k{number}{row}" for row in range(count)]
        (folder / f"samples{suffix}.csv").write_text("\n".join(["id,path,label,key", *lines]), encoding="utf-8")
    return folder


@pytest.mark.parametrize("at_once", [3, 16_384])
@pytest.mark.parametrize(("sizes", "views", "labeled"), [((7,), 0, True), ((5, 0, 9, 2), 2, True), ((4, 4), 1, False)])
def test_what_is_read_is_what_srrs_embed_wrote(tmp_path, monkeypatch, at_once, sizes, views, labeled) -> None:
    monkeypatch.setattr("srrs.export.lance.AT_ONCE", at_once)
    monkeypatch.setattr(lance_tables, "AT_ONCE", at_once)
    monkeypatch.setattr("srrs.mapped.IN_MEMORY", 10)
    folder = embedded(tmp_path / "features", sizes, views, labeled)
    path = write_lance(folder, tmp_path / "all.lance")
    dataset = lance.dataset(str(path))
    assert [fragment.count_rows() for fragment in dataset.get_fragments()] == [size for size in sizes if size]
    assert len(dataset.versions()) == 1
    assert is_embeddings(path)
    assert isinstance(read_lance(path)["embeddings"], np.memmap)
    found, expected = read_embeddings(path), read_embeddings(folder)
    assert np.array_equal(found.features.plain, expected.features.plain)
    assert np.array_equal(found.features.views, expected.features.views)
    assert found.features.plain.dtype == expected.features.plain.dtype
    for name in ("issues", "ids", "paths", "keys", "labels", "model", "model_name"):
        assert getattr(found, name) == getattr(expected, name), name
    assert (found.labels is not None) == labeled


def test_audits_of_npz_and_of_lance_are_equal(tmp_path: Path) -> None:
    labels = RNG.integers(0, 3, 200)
    vectors = (np.eye(3, 16)[labels] * 4 + RNG.normal(size=(200, 16))).astype(np.float32)
    vectors[3], vectors[5] = np.nan, 0
    ids, words = [f"{number:03}" for number in range(200)], [f"class {label}" for label in labels]
    np.savez(tmp_path / "all.npz", embeddings=vectors, ids=ids, labels=words)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 16)
    images = pa.array([b"an image"] * 200)
    lance.write_dataset(
        pa.table({"id": ids, "label": words, "vector": lists, "image": images}), str(tmp_path / "own.lance")
    )
    assert "image" not in read_lance(tmp_path / "own.lance")
    for source in ("all.npz", "own.lance"):
        options = ["--model", "none", "--out", str(tmp_path / source) + "-audit"]
        done = CliRunner().invoke(app, ["audit", str(tmp_path / source), *options])
        assert done.exit_code == 0, done.output
    assert (tmp_path / "all.npz-audit" / "audit.csv").read_bytes() == (
        tmp_path / "own.lance-audit" / "audit.csv"
    ).read_bytes()


def test_lists_without_a_fixed_size_and_missing_vectors_are_read(tmp_path: Path) -> None:
    def read(vectors: list) -> np.ndarray:
        shutil.rmtree(tmp_path / "x.lance", ignore_errors=True)
        table = pa.table({"embeddings": pa.array(vectors, pa.list_(pa.float32())), "id": list("xyz")})
        lance.write_dataset(table, str(tmp_path / "x.lance"))
        return read_lance(tmp_path / "x.lance")["embeddings"]

    assert np.array_equal(read([[1, 2], None, [3, 4]]), [[1, 2], [np.nan] * 2, [3, 4]], equal_nan=True)
    with pytest.raises(DataError, match=r"Lance dataset at .*x\.lance, but cannot read it: .* several lengths"):
        read([[1, 2], [1], [3, 4]])
    with pytest.raises(DataError, match="several lengths"):
        read([[1, 0, 0], [0], [0, 1]])
    with pytest.raises(DataError, match="the column embeddings has no vectors"):
        read([None, None, None])


def test_views_of_several_lengths_are_refused(tmp_path: Path) -> None:
    views = pa.array([[[1, 0, 0], [0]], [[0, 1], [1, 0]]], pa.list_(pa.list_(pa.float32())))
    lance.write_dataset(pa.table({"views": views}), str(tmp_path / "x.lance"))
    with pytest.raises(DataError, match="several lengths"):
        read_lance(tmp_path / "x.lance")


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.list_(pa.float16()), pa.list_(pa.float32(), 2)])
@pytest.mark.parametrize("missing", [(0, 1, 2), (2, 3), (5,), ()])
def test_blocks_of_missing_vectors_are_nan(tmp_path: Path, monkeypatch, kind, missing) -> None:
    monkeypatch.setattr(lance_tables, "AT_ONCE", 2)
    expected = np.arange(12, dtype=np.float32).reshape(6, 2)
    vectors = [None if row in missing else [int(value) for value in expected[row]] for row in range(6)]
    lance.write_dataset(pa.table({"vector": pa.array(vectors, kind)}), str(tmp_path / "x.lance"))
    expected[list(missing)] = np.nan
    found = read_lance(tmp_path / "x.lance")["vector"]
    assert found.dtype == (np.float16 if kind.value_type == pa.float16() else np.float32)
    assert np.array_equal(found, expected, equal_nan=True)


def test_columns_of_other_lists_are_not_read(tmp_path: Path) -> None:
    table = pa.table(
        {
            "vector": pa.array([[1.0, 0.0], [0.0, 1.0]]),
            "tags": pa.array([["a"], []]),
            "boxes": pa.array([[[0.0, 1.0]], [[0.0, 1.0], [2.0, 3.0]]]),
            "views": pa.array([["a"], ["b"]]),
            "label": ["x", "y"],
        }
    )
    lance.write_dataset(table, str(tmp_path / "x.lance"))
    assert set(read_lance(tmp_path / "x.lance")) == {"vector", "label"}


def test_the_command_exports_a_folder_and_refuses_what_is_none(tmp_path: Path) -> None:
    def run(source: Path, out: Path) -> str:
        done = CliRunner().invoke(app, ["export", str(source), "--out", str(out)])
        return done.stdout if done.exception is None else str(done.exception)

    folder, out = embedded(tmp_path / "features", (3, 4)), tmp_path / "all.lance"
    assert run(folder, out) == f"written: {out}\n"
    assert len(read_embeddings(out)) == 7
    assert run(folder, out) == f"Expected nothing at {out}, but there is something. Remove it, or give another name."
    with pytest.raises(
        DataError, match=r"Expected a name that ends with \.lance, but got .*b\. Give the name .*b\.lance"
    ):
        write_lance(folder, tmp_path / "b")
    assert run(tmp_path, tmp_path / "b.lance").startswith(f"Expected a folder that srrs embed wrote at {tmp_path}, but")
    (folder / "features-00001-of-00002.safetensors").unlink()
    assert run(folder, tmp_path / "b.lance").startswith(f"Expected 2 parts in {folder}, but found 1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.lance", "features"]


def test_a_dataset_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = embedded(tmp_path / "features", (3, 4))

    def fails(*_: object, **__: object) -> None:
        raise OSError("LanceError(IO): No space left on device (os error 28), /home/lance.rs:1")

    with monkeypatch.context() as patch:
        patch.setattr("lance.fragment.write_fragments", fails)
        with pytest.raises(DataError, match=r"Cannot write .*all\.lance: the disk is full"):
            write_lance(folder, tmp_path / "all.lance")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        with pytest.raises(DataError, match=r"Cannot write .*all\.lance"):
            write_lance(folder, tmp_path / "all.lance")
    assert [path.name for path in tmp_path.iterdir()] == ["features"]


def test_a_damaged_dataset_is_never_believed(tmp_path: Path) -> None:
    path = write_lance(embedded(tmp_path / "features", (30, 40)), tmp_path / "all.lance")
    expected, copy = read_embeddings(path), tmp_path / "copy.lance"
    files = [file.relative_to(path) for file in path.rglob("*") if file.is_file()]
    refused = 0
    for number in range(60):
        shutil.copytree(path, copy)
        file = copy / files[number % len(files)]
        content = bytearray(file.read_bytes())
        at = int(RNG.integers(len(content)))
        content[at:] = content[at + 1 :] if number % 2 else bytes([content[at] ^ 16, *content[at + 1 :]])
        file.write_bytes(content)
        try:
            found = read_embeddings(copy)
            assert np.array_equal(found.features.plain, expected.features.plain)
            assert (found.ids, found.labels, found.keys) == (expected.ids, expected.labels, expected.keys)
        except DataError:
            refused += 1
        shutil.rmtree(copy)
    assert refused > 15


def test_a_changed_dataset_is_read_without_the_checksums(tmp_path: Path) -> None:
    path = write_lance(embedded(tmp_path / "features", (3,), views=0), tmp_path / "all.lance")
    dataset = lance.dataset(str(path))
    more = dataset.to_table().slice(0, 1).set_column(1, "id", pa.array(["new"]))
    lance.write_dataset(more, dataset, mode="append")
    assert read_embeddings(path).ids == ("é1/0.png", "é1/1.png", "é1/2.png", "new")


def test_a_copy_of_some_rows_is_read_without_the_checksums(tmp_path: Path) -> None:
    path = write_lance(embedded(tmp_path / "features", (3, 2), views=0), tmp_path / "all.lance")
    some = lance.dataset(str(path)).to_table(filter="label = 'a'")
    lance.write_dataset(some, str(tmp_path / "some.lance"))
    assert read_embeddings(tmp_path / "some.lance").ids == ("é1/0.png", "é1/2.png", "é2/0.png")
    assert set(read_lance(tmp_path / "some.lance")) == {
        "embeddings",
        "id",
        "path",
        "label",
        "key",
        "model",
        "model_name",
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a FIFO")
def test_a_pipe_in_a_dataset_is_refused(tmp_path: Path) -> None:
    path = write_lance(embedded(tmp_path / "features", (3,)), tmp_path / "all.lance")
    file = next(path.glob("data/*.lance"))
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(DataError, match="not a regular file"):
        read_embeddings(path)


def test_without_its_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, found = embedded(tmp_path / "features", (3,)), builtins.__import__

    def lacking(name: str, *rest: object, **more: object) -> object:
        if name.partition(".")[0] == "lance":
            raise ImportError(name)
        return found(name, *rest, **more)

    (tmp_path / "x.lance").mkdir()
    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(
        MissingExtraError, match=r"A Lance dataset needs the package pylance: pip install 'srrs\[lance\]'"
    ):
        write_lance(folder, tmp_path / "all.lance")
    with pytest.raises(MissingExtraError, match=r"Reading .*x\.lance needs the package pylance"):
        read_embeddings(tmp_path / "x.lance")


def test_features_of_a_table_may_be_a_lance_dataset(tmp_path: Path) -> None:
    from srrs.data.inputs import read_inputs

    folder = embedded(tmp_path / "features", (3, 4))
    path = write_lance(folder, tmp_path / "all.lance")
    table = pd.DataFrame({"id": ["é2/0.png", "é1/2.png"], "label": ["a", "b"]})
    found, expected = read_inputs(table, features=path), read_inputs(table, features=folder)
    assert found.features is not None
    assert expected.features is not None
    assert np.array_equal(found.features.plain_rows(), expected.features.plain_rows())
    assert found.samples.keys == expected.samples.keys == ("k20", "k12")
