"""Parts of `srrs embed --shard`: what each holds, and reading all of them as one."""

from pathlib import Path

import numpy as np
import pytest

from srrs.data.embeddings import is_embeddings, read_embeddings
from srrs.data.parts import Part
from srrs.data.samples import from_paths
from srrs.errors import DataError, SettingsError
from srrs.io import save_tensors

UNIT = np.eye(8, dtype=np.float16)


def write(folder: Path, part: Part, rows: slice, **metadata: str) -> None:
    count = len(range(7)[rows])
    arrays = {"plain": UNIT[rows][:count], "views": np.zeros((count, 0, 8), np.float16)}
    save_tensors(folder / f"features{part.suffix}.safetensors", arrays, {"model": "m", "part_of_rows": "7", **metadata})
    lines = "".join(f"{at}.png,{at}.png,{'ab'[at % 2]},k{at}\n" for at in range(7)[rows])
    (folder / f"samples{part.suffix}.csv").write_text("id,path,label,key\n" + lines)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 9])
def test_parts_together_hold_each_row_once_and_in_order(count: int) -> None:
    samples = from_paths([np.zeros((2, 2, 3), np.uint8)] * 7, labeled=False)
    found = [Part(number, count).of(samples) for number in range(1, count + 1)]
    assert [id for _, part in found for id in part.ids] == list(samples.ids)
    assert {part.total for part, _ in found} == {7}


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/100000", "1/2/3"])
def test_a_text_that_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--shard as number/count"):
        Part.parse(text)


def test_a_folder_of_parts_is_read_as_one(tmp_path: Path) -> None:
    for number, rows in enumerate((slice(0, 3), slice(3, 3), slice(3, 7)), 1):  # a part may be empty
        write(tmp_path, Part(number, 3), rows)
    assert is_embeddings(tmp_path)
    found = read_embeddings(tmp_path)
    assert found.ids == tuple(f"{at}.png" for at in range(7))
    assert found.labels == tuple("abababa")
    assert np.array_equal(found.features.plain, UNIT[:7])
    assert (found.keys[5], found.model) == ("k5", "m")


def test_a_table_that_does_not_belong_to_its_features_is_refused(tmp_path: Path) -> None:
    for number, rows in enumerate((slice(0, 3), slice(3, 7)), 1):
        write(tmp_path, Part(number, 2), rows)
    table = tmp_path / "samples-00002-of-00002.csv"
    text = table.read_text()
    table.write_text(text.replace("label", "kind"))
    with pytest.raises(DataError, match=r"Expected the columns id, path, label, key in .*, but found id, path, kind"):
        read_embeddings(tmp_path)
    table.write_text(text + "8.png,8.png,a,k\n")
    with pytest.raises(DataError, match=r"Expected 4 rows in .*samples-00002-of-00002.csv, one for .* but found 5"):
        read_embeddings(tmp_path)
    save_tensors(tmp_path / "features-00001-of-00002.safetensors", {"plain": UNIT}, {})
    with pytest.raises(DataError, match="Expected the arrays plain and views in"):
        read_embeddings(tmp_path)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([Part(1, 3), Part(3, 3)], "Expected 3 parts in .*found 2. Run srrs embed with --shard 2/3"),
        ([Part(1, 2), Part(2, 2), Part(1, 3)], "parts of 2 and of 3"),
    ],
)
def test_parts_that_are_not_the_whole_are_refused(tmp_path: Path, parts: list[Part], said: str) -> None:
    for part in parts:
        write(tmp_path, part, slice(0, 2))
    with pytest.raises(DataError, match=said):
        read_embeddings(tmp_path)


@pytest.mark.parametrize(
    ("other", "said"), [({"model": "n"}, "several models"), ({"part_of_rows": "8"}, "several datasets")]
)
def test_parts_of_several_runs_are_refused(tmp_path: Path, other: dict[str, str], said: str) -> None:
    write(tmp_path, Part(1, 2), slice(0, 3))
    write(tmp_path, Part(2, 2), slice(3, 7), **other)
    with pytest.raises(DataError, match=said):
        read_embeddings(tmp_path)
