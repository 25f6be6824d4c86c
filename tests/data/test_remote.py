"""Sources behind a URL, in the file system that fsspec keeps in memory."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from data.test_archives import png, tar
from srrs.cli import app
from srrs.data.images import digest
from srrs.data.inputs import Inputs, read_inputs
from srrs.data.samples import checked, read
from srrs.errors import DataError
from srrs.io import save_tensors

fsspec = pytest.importorskip("fsspec", reason="fsspec is an extra")


@pytest.fixture(autouse=True)
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SRRS_CACHE", str(tmp_path / "cache"))
    store = fsspec.filesystem("memory")
    for number, name in enumerate(("cat/0.png", "cat/1.png", "dog/2.png")):
        store.pipe(f"/b/photos/{name}", png(number))
    store.pipe("/b/photos/notes.txt", b"-")
    yield
    store.rm("/b", recursive=True)


def test_a_folder_behind_a_url_is_read_as_a_folder_and_each_file_once(tmp_path: Path) -> None:
    samples = checked(read("memory://b/photos"))
    assert samples.ids == ("cat/0.png", "cat/1.png", "dog/2.png")
    assert samples.given == ("cat", "cat", "dog")
    assert samples.keys == tuple(digest(png(number)) for number in range(3))
    assert samples.notes == ("Files that are not images were left out: 1 .txt.",)
    copies = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert sorted(copy.name for copy in copies) == ["0.png", "1.png", "2.png"]
    copies[0].write_bytes(b"the copy is read, not the original")
    assert checked(read("memory://b/photos")).issues.count("unreadable: not an image") == 1


def test_a_table_behind_a_url_names_files_of_its_folder() -> None:
    fsspec.filesystem("memory").pipe("/b/photos/labels.csv", b"path,label\ncat/0.png,cat\nnowhere.png,dog\n")
    samples = checked(read("memory://b/photos/labels.csv"))
    assert samples.ids == ("cat/0.png", "nowhere.png")
    assert samples.keys == (digest(png(0)), "")
    assert "Expected to read memory://b/photos/nowhere.png" in samples.issues[1]


@pytest.mark.parametrize("path", ["../x.png", "/etc/x.png", "file:///etc/x.png", "a::file:///etc/x.png"])
def test_a_path_that_leads_outside_is_refused(path: str) -> None:
    fsspec.filesystem("memory").pipe("/b/labels.csv", f"path,label\n{path},a\nb.png,b\n".encode())
    with pytest.raises(DataError, match="Expected paths below memory://b, but found"):
        read("memory://b/labels.csv")


def test_shards_and_embeddings_behind_a_url_are_read(tmp_path: Path) -> None:
    store, buffer = fsspec.filesystem("memory"), io.BytesIO()
    members = {"x.png": png(0), "x.cls": b"cat", "y.png": png(1), "y.cls": b"dog"}
    store.pipe("/b/shards/a.tar", tar(tmp_path / "a.tar", members).read_bytes())
    assert read("memory://b/shards").given == read("memory://b/shards/a.tar").given == ("cat", "dog")
    np.savez(buffer, embeddings=np.eye(3), labels=["a", "b", "a"])
    store.pipe("/b/all.npz", buffer.getvalue())
    assert read_inputs("memory://b/all.npz").samples.given == ("a", "b", "a")


def stored(folder: Path, url: str) -> str:
    for path in folder.iterdir():
        fsspec.filesystem("memory").pipe(f"/b/{url}/{path.name}", path.read_bytes())
    return f"memory://b/{url}"


def same(inputs: Inputs, expected: Inputs) -> bool:
    assert inputs.features is not None
    assert expected.features is not None
    samples, others = inputs.samples, expected.samples
    assert (samples.ids, samples.given, samples.keys) == (others.ids, others.given, others.keys)
    return np.array_equal(inputs.features.plain_rows(), expected.features.plain_rows())


def test_features_and_class_vectors_may_be_urls(tmp_path: Path) -> None:
    local, vectors = tmp_path / "all" / "all.npz", tmp_path / "all" / "vectors.npz"
    local.parent.mkdir()
    rng = np.random.default_rng(0)
    np.savez(local, embeddings=rng.normal(size=(3, 4)), ids=["x", "y", "z"])
    np.savez(vectors, class_vectors=rng.normal(size=(2, 4)), class_names=["a", "b"])
    url = stored(local.parent, "all")
    table = pd.DataFrame({"id": ["z", "x", "y"], "label": ["a", "b", "a"]})
    expected = read_inputs(table, features=local, class_vectors=vectors, bare=True)
    assert same(read_inputs(table, features=f"{url}/all.npz", class_vectors=f"{url}/vectors.npz", bare=True), expected)
    assert expected.embeddings is not None
    assert expected.embeddings.classes is not None


@pytest.mark.parametrize("suffixes", [[""], ["-00001-of-00002", "-00002-of-00002"]])
def test_a_folder_of_srrs_embed_behind_a_url_is_read_as_on_disk(tmp_path: Path, suffixes: list[str]) -> None:
    folder, rng = tmp_path / "features", np.random.default_rng(0)
    for at, suffix in enumerate(suffixes):
        plain = rng.normal(size=(3, 4)).astype(np.float16)
        arrays = {"plain": plain, "views": np.zeros((3, 0, 4), np.float16)}
        save_tensors(folder / f"features{suffix}.safetensors", arrays, {"model": "m"})
        lines = [f"{name}{at},{name}.png,{label}" for name, label in zip("xyz", "aba", strict=True)]
        (folder / f"samples{suffix}.csv").write_text("\n".join(["id,path,label", *lines]))
    url = stored(folder, "features")
    fsspec.filesystem("memory").pipe("/b/features/settings.yaml", b"-")
    assert same(read_inputs(url), read_inputs(folder))
    table = pd.DataFrame({"id": ["z0", "x0"], "label": ["a", "b"]})
    assert same(read_inputs(table, features=f"{url}/"), read_inputs(table, features=folder))
    (copies,) = {path.parent for path in (tmp_path / "cache").rglob("*.safetensors")}
    assert sorted(path.name for path in copies.iterdir()) == sorted(
        f"{name}{suffix}.{kind}"
        for suffix in suffixes
        for name, kind in (("features", "safetensors"), ("samples", "csv"))
    )
    if len(suffixes) > 1:
        fsspec.filesystem("memory").rm("/b/features/features-00001-of-00002.safetensors")
        with pytest.raises(DataError, match=r"Expected 2 parts in .* but found 1"):
            read_inputs(url)


@pytest.mark.parametrize("name", ["photos", "photos/notes.txt", "labels.csv", "nothing"])
def test_features_behind_a_url_that_are_none_are_said(name: str) -> None:
    fsspec.filesystem("memory").pipe("/b/labels.csv", b"path,label\na.png,a\n")
    with pytest.raises(DataError, match=f"Expected embeddings as .npz.* at memory://b/{name}, but found neither"):
        read_inputs(None, features=f"memory://b/{name}")
    with pytest.raises(DataError, match=r"Expected to read memory://b/none.npz, but could not"):
        read_inputs(None, features="memory://b/none.npz")


def test_a_lance_dataset_behind_a_url_is_refused_with_what_to_do() -> None:
    for options in ({"source": "memory://b/all.lance"}, {"source": None, "features": "memory://b/all.lance"}):
        with pytest.raises(DataError, match=r"on a disk, but memory://b/all\.lance is a URL\. Copy the folder"):
            read_inputs(**options)


def test_pickled_embeddings_behind_a_url_are_refused() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, embeddings=np.array([[object()]], dtype=object))
    fsspec.filesystem("memory").pipe("/b/bad.npz", buffer.getvalue())
    with pytest.raises(DataError, match="it holds pickled objects"):
        read_inputs(None, features="memory://b/bad.npz")


def test_the_command_line_takes_a_url_of_features_and_writes_it_into_its_settings(tmp_path: Path) -> None:
    rng, buffer = np.random.default_rng(0), io.BytesIO()
    labels = np.arange(40) % 2
    np.savez(buffer, embeddings=rng.normal(size=(40, 4)) + 3 * np.eye(4)[labels], labels=labels)
    fsspec.filesystem("memory").pipe("/b/all.npz", buffer.getvalue())
    options = ["--features", "memory://b/all.npz", "--model", "none", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["audit", *options])
    assert done.exit_code == 0, done.output
    assert yaml.safe_load((tmp_path / "out" / "settings.yaml").read_text())["options"] == {
        "features": "memory://b/all.npz"
    }


@pytest.mark.parametrize("url", ["memory://b/nothing", "memory://b/nothing.csv", "nowhere://b/photos"])
def test_what_cannot_be_read_is_said(url: str) -> None:
    with pytest.raises(DataError, match=f"Expected .*{url}, but"):
        read(url)
