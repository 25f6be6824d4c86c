"""Files that are read and written: whole or not at all, never waiting, and one sentence where it cannot be."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from safetensors import safe_open

from srrs import checksum, io
from srrs.errors import DataError
from srrs.io import atomic, is_file, read_bytes, save_tensors, write_atomic

unix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")


def test_a_file_is_written_with_its_folder_and_nothing_stays_beside_it(tmp_path):
    path = write_atomic(tmp_path / "new" / "a.txt", [b"one ", b"two"])
    assert path.read_bytes() == b"one two"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.txt"]


@unix
@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_files_get_the_access_rights_of_their_siblings(tmp_path, mask):
    before = os.umask(mask)
    try:
        (tmp_path / "sibling").touch()
        write_atomic(tmp_path / "a.txt", b"x")
        save_tensors(tmp_path / "a.safetensors", {"x": np.zeros(2, np.float32)}, {"made": "here"})
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o666 & ~mask}


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "the disk is full. Free some space, then run the same command again."),
        (errno.EROFS, "the file system is read-only. Choose another folder."),
        (errno.EFBIG, "larger than this system allows. Raise the limit"),
        (errno.EDQUOT, "the disk quota is used up."),
        (errno.EACCES, "Permission denied. Choose a path that can be written."),
    ],
)
def test_what_hinders_writing_is_one_sentence_and_the_old_file_stays(tmp_path, monkeypatch, number, message):
    path = write_atomic(tmp_path / "a.txt", b"old")

    def fails(fd):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(io.os, "fsync", fails)
    with pytest.raises(DataError) as caught:
        write_atomic(path, b"new")
    assert str(caught.value).startswith(f"Cannot write {path}: ")
    assert message in str(caught.value)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.txt"]


@unix
@pytest.mark.parametrize("what", ["write_atomic(path, bytes(10**6))", "save_tensors(path, {'x': np.zeros(10**6)})"])
def test_a_limit_of_the_system_ends_in_the_same_sentence(tmp_path, what):
    code = (
        "import numpy as np, resource, signal, sys\n"
        "from srrs.errors import DataError\n"
        "from srrs.io import save_tensors, write_atomic\n"
        "import safetensors.numpy\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        f"path = {str(tmp_path / 'a.bin')!r}\n"
        f"try: {what}\n"
        "except DataError as error: sys.exit(str(error))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "larger than this system allows" in done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == []


def test_equal_arrays_with_equal_metadata_are_equal_bytes_and_a_changed_one_is_noticed(tmp_path):
    about = {f"ключ\n{number}": "value" for number in range(9)}
    array = {"x": np.arange(3), "y": np.zeros((0, 2), np.float16)}
    paths = [save_tensors(tmp_path / f"{number}.safetensors", array, about) for number in range(4)]
    contents = {path.read_bytes() for path in paths}
    assert len(contents) == 1
    with safe_open(paths[0], "np") as file:
        assert {name: text for name, text in file.metadata().items() if name != "checksum"} == about
        assert file.get_tensor("x").tolist() == [0, 1, 2]
    assert checksum.is_whole(paths[0]) is True
    paths[0].write_bytes(contents.pop().replace(b"value", b"Value", 1))
    assert checksum.is_whole(paths[0]) is False
    safetensors.numpy.save_file(array, paths[0])
    assert checksum.is_whole(paths[0]) is None


@unix
def test_what_a_killed_process_left_is_removed_and_that_of_a_living_one_is_not(tmp_path):
    with atomic(tmp_path / "a.txt") as part:
        begin = part.name.split(f"{os.getpid()}-")[0]
        part.touch()
        (tmp_path / f"{begin}999999999-1-other.part").touch()
        (tmp_path / f"{begin}{os.getppid()}-1-other.part").touch()
        write_atomic(tmp_path / "other.txt", b"")
        assert part.exists()
    left = [name for name in os.listdir(tmp_path) if name.endswith(".part")]
    assert left == [f"{begin}{os.getppid()}-1-other.part"]


@unix
def test_only_regular_files_are_read_and_none_is_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError, match=r"not a regular file|Is a directory"):
            read_bytes(path)
        assert not is_file(path)
    for path in ("x" * 5000, "nul\0"):
        assert not is_file(path)
        with pytest.raises(OSError):  # noqa: PT011  the text is the system's
            read_bytes(path)


@unix
def test_no_device_fifo_or_link_to_one_is_replaced_by_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "replace", lambda self, target: pytest.fail(f"{target} was replaced"))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    for path in (tmp_path / "pipe", tmp_path / "link", Path("/dev/null"), Path("/dev/stdout"), Path("/dev/new")):
        with pytest.raises(DataError, match=f"Cannot write {path}: not a regular file. Choose a path that can be writ"):
            write_atomic(path, b"x")
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]


def test_a_file_above_the_limit_is_not_read(tmp_path):
    (tmp_path / "a").write_bytes(bytes(10))
    assert len(read_bytes(tmp_path / "a", 10)) == 10
    with pytest.raises(OSError, match="larger than 0 MB"):
        read_bytes(tmp_path / "a", 9)
