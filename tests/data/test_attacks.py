"""Files that a stranger, a crash or an attacker made: one clear error or a row with an issue, and never a wait."""

import io
import os
import random
import socket
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from srrs.data.arrays import read_arrays
from srrs.data.embeddings import read_embeddings
from srrs.data.inputs import read_inputs
from srrs.data.samples import checked, from_csv, from_frame, from_paths, read
from srrs.errors import DataError

VECTORS = np.eye(4, 8, dtype=np.float32)
unix = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")


@pytest.fixture
def photos(tmp_path):
    for at, name in enumerate(("cat/1.png", "cat/2.png", "dog/1.png")):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (60 * at, 0, 0)).save(path)
    return tmp_path / "photos"


def table(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8", newline="")
    return path


def special(kind: str, path: Path) -> Path:
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path)
    return path


SPECIAL = ["fifo", "device", "loop", "socket"]


# Special files, which block for ever or never end


@unix
@pytest.mark.parametrize("kind", SPECIAL)
def test_a_special_file_in_a_row_is_a_row_with_an_issue(photos, kind, monkeypatch):
    monkeypatch.chdir(photos)  # a socket's path must be short
    special(kind, Path("odd.png"))
    samples = checked(from_csv(table(photos, "path,label\ncat/1.png,cat\ndog/1.png,dog\nodd.png,cat\n")))
    assert samples.issues[:2] == ("", "")
    assert samples.issues[2].startswith(("unreadable: ", "missing file"))


@unix
@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", ["odd.csv", "odd.parquet", "odd.npz", "odd.safetensors", "odd.npy", "odd.jpg"])
def test_a_special_file_as_source_is_refused(photos, kind, name, monkeypatch):
    monkeypatch.chdir(photos)
    special(kind, Path(name))
    with pytest.raises(DataError, match="Expected"):
        read_inputs(name)
    with pytest.raises(DataError, match="Expected"):
        read_embeddings(Path(name))


@unix
def test_a_fifo_named_in_the_paths_of_embeddings_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    paths = np.array([str(tmp_path / "pipe")] * 4)
    np.savez(tmp_path / "e.npz", embeddings=VECTORS, labels=np.array(list("abab")), paths=paths)
    samples = read_inputs(tmp_path / "e.npz").samples
    assert samples.issues == ("",) * 4
    assert set(checked(samples).issues) == {"unreadable: not a regular file"}


# Tables


@pytest.mark.parametrize("name", ["x" * 5000 + ".png", "a/" * 3000 + "b.png", "nul\0.png"])
def test_a_path_that_no_file_system_holds_is_a_missing_file(photos, name):
    samples = checked(
        from_frame(pd.DataFrame({"path": [name, "cat/1.png", "dog/1.png"], "label": list("aab")}), images=photos)
    )
    assert samples.issues[1:] == ("", "")
    assert samples.issues[0].startswith(("missing file", "unreadable: "))
    with pytest.raises(DataError, match="found nothing there"):
        read(name)


def test_a_column_named_twice_is_refused(photos):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    path = photos / "twice.parquet"
    columns = [pa.array(["cat/1.png", "dog/1.png"]), pa.array(["cat", "dog"]), pa.array(["x", "y"])]
    pq.write_table(pa.Table.from_arrays(columns, names=["path", "label", "label"]), path)
    with pytest.raises(DataError, match="two columns are called 'label'"):
        read(path)
    with pytest.raises(DataError, match="'label' stands twice"):
        read(table(photos, "path,label,label\ncat/1.png,cat,x\ndog/1.png,dog,y\n"))
    frame = pd.DataFrame([["cat/1.png", "cat", "x"]], columns=["path", "label", "label"])
    with pytest.raises(DataError, match="'label' stands twice"):
        from_frame(frame)


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\x85", "\v", "\f", "\x1c", "\x1e"])
def test_only_line_ends_of_csv_end_a_row(photos, odd):
    name = f"cat/a{odd}b.png"
    (photos / name).write_bytes((photos / "cat" / "1.png").read_bytes())
    for newline in ("\n", "\r\n", "\r"):
        rows = ["path,label,note", f"{name},c{odd}at,x{odd}y", 'dog/1.png,dog,"two\nlines"']
        samples = checked(from_csv(table(photos, newline.join(rows))))
        assert samples.ids == (name, "dog/1.png")
        assert samples.issues == ("", "")
        assert len(samples.class_names) == 2


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_paths_of_a_table_cannot_leave_the_folder_of_images_unless_the_user_says_so(photos, tmp_path, kind):
    outside = tmp_path / "private.png"
    Image.new("RGB", (8, 8)).save(outside)
    for name in (str(outside), "../private.png", "cat/../../private.png"):
        frame = pd.DataFrame({"path": ["cat/1.png", "cat/../cat/2.png", name], "label": list("aab")})
        path = photos / f"t.{kind}"
        frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
        with pytest.raises(DataError, match=r"paths below .*photos in .*row 3 names .*private\.png.*--images /"):
            read(path)
        allowed = read(path, images=f"{photos},/")
        assert checked(allowed).issues == ("", "", "")
        assert read(frame, images=photos).issues == ("", "", "")  # the caller's own


# Arrays


def archive(tmp_path: Path, **arrays) -> Path:
    np.savez(tmp_path / "e.npz", **{"embeddings": VECTORS, "labels": np.array(list("abab")), **arrays})
    return tmp_path / "e.npz"


def mutated(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(out))
        out[at] = rng.choice([0, 255, out[at] ^ 1 << rng.randrange(8), rng.randrange(256)])
    return bytes(out[: rng.randint(1, len(out))] if rng.random() < 0.2 else out)


@pytest.mark.parametrize("kind", ["npz", "compressed npz", "npy", "safetensors", "parquet"])
def test_mutated_array_files_are_read_or_refused(tmp_path, kind):
    buffer = io.BytesIO()
    if kind == "npy":
        np.save(buffer, VECTORS)
    elif kind == "safetensors":
        from safetensors.numpy import save

        buffer.write(save({"embeddings": VECTORS}, {"labels": '["a", "b", "a", "b"]'}))
    elif kind == "parquet":
        pytest.importorskip("pyarrow")
        pd.DataFrame({"embedding": list(VECTORS), "label": list("abab")}).to_parquet(buffer)
    else:
        write = np.savez if kind == "npz" else np.savez_compressed
        write(buffer, embeddings=VECTORS, labels=np.array(list("abab")), ids=np.array(list("wxyz")))
    path, rng = tmp_path / f"e.{kind.split()[-1]}", random.Random(0)
    refused = 0
    for _ in range(150):
        path.write_bytes(mutated(buffer.getvalue(), rng))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                read_inputs(path)
            except DataError:
                refused += 1
    assert 0 < refused <= 150


def test_an_array_that_claims_to_be_huge_is_refused(tmp_path):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 1000000), }"
    head = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + header.ljust(117) + b"\n"
    path = tmp_path / "e.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("embeddings.npy", head + bytes(64))
    with pytest.raises(DataError, match=r"claims 3,725,290 GB"):
        read_arrays(path)
    (tmp_path / "e.npy").write_bytes(head + bytes(64))
    with pytest.raises(DataError, match="cannot read it"):
        read_arrays(tmp_path / "e.npy")


def test_a_bomb_of_zeros_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("srrs.data.arrays.MOST", 10_000)
    np.savez_compressed(tmp_path / "e.npz", embeddings=np.zeros((1000, 64), np.float32))
    with pytest.raises(DataError, match="claims 0 GB"):
        read_arrays(tmp_path / "e.npz")


def test_labels_of_other_kinds_are_read_or_the_cause_is_named(tmp_path):
    names = {"class_names": np.array(["cat", "dog"])}

    def labels(values, **more):
        return read_inputs(archive(tmp_path, labels=values, **more)).samples

    assert labels(np.array([0.0, 1.0, np.nan, 1.0]), **names).given == ("cat", "dog", "", "dog")
    assert labels(np.array([b"cat", b"dog", b"cat", b"caf\xc3\xa9"])).given == ("cat", "dog", "cat", "café")
    with pytest.raises(DataError, match=r"labels .* are fractions, such as 0\.5: save whole numbers or class names"):
        labels(np.array([0.5, 1.0, 0.0, 1.0]), **names)
    with pytest.raises(DataError, match=r"labels .* are truth values: save whole numbers or class names"):
        labels(np.array([True, False, True, False]), **names)
    with pytest.raises(DataError, match=r"labels .* are numbers saved as text, such as '0': save them as whole"):
        labels(np.array(["0", "1", "0", "1"]), **names)
    with pytest.raises(DataError, match=r"labels .* are positions from 0 to 1 in the names, but found 2"):
        labels(np.array([0, 1, 2, 1]), **names)
    with pytest.raises(DataError, match=r"labels .* are 2-dimensional"):
        labels(np.eye(4), **names)


@pytest.mark.parametrize("order", "<>")
def test_texts_that_are_not_unicode_are_refused(tmp_path, order):
    """numpy keeps any four bytes as a character, and fails with a SystemError where it is made a str."""
    texts = np.array(["cat", "dog"] * 2).astype(f"{order}U3")
    damaged = np.frombuffer(
        texts.tobytes().replace(b"d\0\0\0", b"d\0\0\7").replace(b"\0\0\0d", b"\7\0\0d"), texts.dtype
    )
    assert archive(tmp_path, labels=texts)
    assert read_inputs(tmp_path / "e.npz").samples.given == ("cat", "dog", "cat", "dog")
    with pytest.raises(DataError, match=r"the texts of labels\.npy are not Unicode"):
        read_inputs(archive(tmp_path, labels=damaged))


@pytest.mark.parametrize("scale", [1e20, 1e37, 1e-30])
def test_vectors_of_any_length_become_unit_vectors(scale):
    vectors = (np.random.default_rng(0).normal(size=(6, 16)) * scale).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read_embeddings(vectors)
    assert np.allclose(np.linalg.norm(found.features.plain, axis=1), 1, atol=1e-3)
    assert np.allclose(
        found.features.plain, vectors / scale / np.linalg.norm(vectors / scale, axis=1, keepdims=True), atol=1e-3
    )


def test_a_float64_row_of_huge_numbers_that_is_not_finite_has_an_issue():
    vectors = np.array([[1e200, np.nan], [1e200, np.inf], [1e308, 1.7e308], [3e200, 4e200], [3e-320, 0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read_embeddings(vectors)
    assert found.issues == ("embedding is not finite",) * 3 + ("", "")
    assert np.allclose(found.features.plain[3:], [[0.6, 0.8], [1, 0]])


def test_float64_beyond_float32_becomes_unit_vectors():
    vectors = np.eye(3, 5) * 1e200
    assert np.array_equal(read_embeddings(vectors).features.plain, np.eye(3, 5))


# Images


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_mutated_images_are_read_or_are_rows_with_an_issue(tmp_path, kind):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, kind)
    rng = random.Random(0)
    paths = []
    for at in range(80):
        paths.append(tmp_path / f"{at}.{kind.lower()}")
        paths[-1].write_bytes(mutated(buffer.getvalue(), rng))
    samples = checked(from_paths(paths))
    assert len(samples) == 80
    assert all(key for key, issue in zip(samples.keys, samples.issues, strict=True) if not issue)
