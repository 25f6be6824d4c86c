"""Images inside tar and parquet files: the same rows and keys as those of the files themselves."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srrs.data.images import digest
from srrs.data.samples import checked, read
from srrs.errors import DataError


def png(number: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    folder = tmp_path / "shards"
    folder.mkdir()
    tar(folder / "a.tar", {"x/0.png": png(0), "x/0.cls": b"cat", "x/1.cls": b"dog", "x/1.png": png(1), "x/1.txt": b"-"})
    facts = json.dumps({"species": "fox", "label": "cat", "more": [1]}).encode()
    tar(folder / "b.tar", {"x/0.png": png(2), "x/0.json": facts, "2.v2.png": b"damaged", ".hidden.png": b""})
    return folder


def test_tar_shards_are_one_dataset_and_nothing_is_unpacked(shards: Path) -> None:
    samples = checked(read(shards))
    assert samples.ids == ("a/x/0.png", "a/x/1.png", "b/x/0.png", "b/2.v2.png")
    assert samples.given == ("cat", "dog", "cat", "")
    assert samples.keys[:3] == tuple(digest(png(number)) for number in range(3))
    assert samples.issues == ("", "", "", "unreadable: not an image")
    assert sorted(path.name for path in shards.parent.rglob("*")) == ["a.tar", "b.tar", "shards"]


def test_a_label_may_be_a_field_of_the_json_file(shards: Path) -> None:
    tar(
        shards / "b.tar",
        {"0.png": png(0), "0.json": b'{"species": "fox"}', "1.png": png(1), "1.json": b'{"species": "cat"}'},
    )
    assert read(shards / "b.tar", label_column="species").given == ("fox", "cat")


@pytest.mark.parametrize("name", ["../x.png", "/etc/x.png"])
def test_a_tar_file_that_names_files_outside_is_refused(tmp_path: Path, name: str) -> None:
    path = tar(tmp_path / "a.tar", {name: png(0)})
    with pytest.raises(DataError, match=r"Expected paths inside .*which leads outside"):
        read(path, labeled=False)


def test_a_compressed_tar_file_is_refused(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", {"x.png": png(0)})
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(DataError, match="Expected an uncompressed tar file"):
        read(path, labeled=False)


@pytest.mark.parametrize("struct", [True, False])
def test_parquet_shards_hold_the_images_themselves(tmp_path: Path, monkeypatch, struct: bool) -> None:
    pq, pa = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    monkeypatch.setenv("SRRS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("srrs.data.archives.AT_ONCE", 1)
    (tmp_path / "shards").mkdir()
    for name, contents, labels in (("a", [png(0), None], ["cat", "dog"]), ("b", [png(1)], ["dog"])):
        cells = [{"bytes": content, "path": None} for content in contents] if struct else contents
        pq.write_table(pa.table({"image": cells, "label": labels}), tmp_path / "shards" / f"{name}.parquet")
    for _ in range(2):  # the second time from the cache
        samples = checked(read(tmp_path / "shards"))
        assert samples.given == ("cat", "dog", "dog")
        assert samples.keys == (digest(png(0)), "", digest(png(1)))
        assert samples.issues == ("", "missing file", "")
    assert len(list((tmp_path / "cache" / "shards").iterdir())) == 2


def test_shards_of_paths_are_a_table_and_may_not_lead_outside(tmp_path: Path) -> None:
    pq, pa = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    folder = tmp_path / "y"
    folder.mkdir()
    for path in (tmp_path / "x.png", folder / "y.png"):
        path.write_bytes(png(0))
    pq.write_table(pa.table({"path": ["../x.png", "y.png"], "label": ["a", "b"]}), tmp_path / "a.parquet")
    (tmp_path / "a.parquet").rename(folder / "a.parquet")
    with pytest.raises(DataError, match="Expected paths below"):
        read(folder / "a.parquet")
