"""Sources behind a URL, in the file system that fsspec keeps in memory."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from data.test_archives import png, tar
from srrs.data.images import digest
from srrs.data.inputs import read_inputs
from srrs.data.samples import checked, read
from srrs.errors import DataError

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


@pytest.mark.parametrize("url", ["memory://b/nothing", "memory://b/nothing.csv", "nowhere://b/photos"])
def test_what_cannot_be_read_is_said(url: str) -> None:
    with pytest.raises(DataError, match=f"Expected .*{url}, but"):
        read(url)
