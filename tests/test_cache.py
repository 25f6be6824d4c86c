"""The caches of copies keep to the limit, as the cache of features does, and keep what a run may still read."""

import os
import time
from pathlib import Path

import pytest

from data.test_archives import png
from srrs.cache import IN_USE, make_room, trim
from srrs.data.images import digest
from srrs.data.samples import checked, read


def entry(folder: Path, name: str, age: float, size: int = 1_000) -> Path:
    made = folder / name / "content"
    made.parent.mkdir(parents=True)
    made.write_bytes(b"0" * size)
    os.utime(made, (time.time() - age, time.time() - age))
    return made.parent


def limit(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setenv("SRRS_CACHE_LIMIT_GB", str(size / 2**30))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_entries_not_used_for_longest_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ages = {"a": 30.0, "b": 40.0, "c": 10.0, "d": 20.0}
    made = {name: entry(tmp_path, name, age) for name, age in ages.items()}
    limit(monkeypatch, 2_000)
    assert trim(tmp_path, "*") == [made["b"], made["a"]]
    assert names(tmp_path) == ["c", "d"]
    limit(monkeypatch, 100)
    assert trim(tmp_path, "other*") == []
    assert trim(tmp_path, "*", time.time() - 15) == [made["d"]]
    assert names(tmp_path) == ["c"]
    assert trim(tmp_path / "missing", "*") == []


def test_room_is_made_once_and_what_was_used_within_a_day_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(monkeypatch, 500)
    entry(tmp_path, "old", IN_USE + 60)
    entry(tmp_path, "new", IN_USE - 60)
    make_room(tmp_path)
    assert names(tmp_path) == ["new"]
    entry(tmp_path, "old", IN_USE + 60)
    make_room(tmp_path)
    assert names(tmp_path) == ["new", "old"]


def aged(copies: Path) -> None:
    for path in copies.rglob("*"):
        os.utime(path, (1e9, 1e9))


def test_copies_of_remote_files_are_trimmed_and_used_ones_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = pytest.importorskip("fsspec").filesystem("memory")
    monkeypatch.setenv("SRRS_CACHE", str(tmp_path))
    for name, number in (("one/cat/0.png", 0), ("one/dog/1.png", 1), ("two/cat/2.png", 2), ("two/dog/3.png", 3)):
        store.pipe(f"/trimmed/{name}", png(number))
    limit(monkeypatch, 100)
    for part in ("one", "two", "one"):
        samples = checked(read(f"memory://trimmed/{part}"))
        assert samples.keys[0] == digest(png(0 if part == "one" else 2))
        names_of = sorted(path.name for path in (tmp_path / "remote").glob("*/*"))
        assert names_of == {"one": ["0.png", "1.png"], "two": ["2.png", "3.png"]}[part]
        aged(tmp_path / "remote")
        if part == "one":
            checked(read("memory://trimmed/one"))  # used again, without a new copy
            assert all(path.stat().st_mtime > 1.1e9 for path in (tmp_path / "remote").glob("*/*"))
            aged(tmp_path / "remote")
        make_room.cache_clear()
    store.rm("/trimmed", recursive=True)


def test_copies_of_images_in_parquet_files_are_trimmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq, pa = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    monkeypatch.setenv("SRRS_CACHE", str(tmp_path / "cache"))
    limit(monkeypatch, 100)
    for number in (0, 1):
        table = pa.table({"image": [png(number), png(number + 2)], "label": ["cat", "dog"]})
        pq.write_table(table, tmp_path / f"{number}.parquet")
    for number in (0, 1, 0):
        samples = checked(read(tmp_path / f"{number}.parquet"))
        assert samples.keys == (digest(png(number)), digest(png(number + 2)))
        assert len(names(tmp_path / "cache" / "shards")) == 1
        aged(tmp_path / "cache" / "shards")
        make_room.cache_clear()
