"""Pictures that are no files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srrs.data.images import open_rgb
from srrs.data.pictures import file_of
from srrs.data.samples import checked, from_paths
from srrs.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "entry",
    [
        PIXELS,
        Image.fromarray(PIXELS),
        PIXELS.astype(np.float64) / 255,
        np.concatenate([PIXELS, np.full((6, 9, 1), 255, np.uint8)], axis=2),
        PIXELS.transpose(2, 0, 1),
    ],
    ids=["array", "Pillow", "floats", "with alpha", "channels first"],
)
def test_every_kind_of_picture_in_memory_keeps_its_pixels(entry: object) -> None:
    samples = checked(from_paths([entry, entry], ["a", "b"]))
    assert samples.ids == ("0", "1")
    assert samples.issues == ("", "")
    assert samples.keys[0] == samples.keys[1]
    np.testing.assert_array_equal(np.asarray(open_rgb(samples.paths[0])), PIXELS)
    assert file_of(samples.paths[0]) is None


@pytest.mark.parametrize(
    ("entry", "issue"),
    [
        (np.zeros((5, 5, 7), np.uint8), "no image has the shape (5, 5, 7)"),
        (np.full((4, 4), 3.0), "expected floats from 0 to 1"),
        (np.full((4, 4), np.nan), "expected floats from 0 to 1"),
        (np.zeros((4, 4), np.int64), "expected uint8 or floats from 0 to 1, not int64"),
        (b"words", "not an image"),
        (None, "missing file"),
    ],
)
def test_what_is_no_picture_is_a_row_with_an_issue(entry: object, issue: str) -> None:
    samples = checked(from_paths([PIXELS, entry]))
    assert samples.issues[0] == ""
    assert issue in samples.issues[1]


def test_what_can_be_no_picture_at_all_is_refused() -> None:
    with pytest.raises(DataError, match="image 1 is of the type int"):
        from_paths([PIXELS, 3])


def test_the_first_root_that_has_a_file_counts(tmp_path: Path) -> None:
    from srrs.data.samples import from_csv

    for root, names in (("a", "xy"), ("b", "yz")):
        (tmp_path / root).mkdir()
        for name in names:
            Image.fromarray(PIXELS).save(tmp_path / root / f"{name}.png")
    table = tmp_path / "t.csv"
    table.write_text("path,label\nx.png,1\ny.png,2\nz.png,1\nw.png,2\n")
    for images in (f"{tmp_path}/a,{tmp_path}/b", [tmp_path / "a", tmp_path / "b"]):
        samples = from_csv(table, images=images)
        assert [path.parent.name for path in samples.paths] == ["a", "a", "b", "a"]
        assert samples.issues == ("", "", "", "missing file")
    with pytest.raises(DataError, match=r"folder of images at .*nowhere"):
        from_csv(table, images=f"{tmp_path}/a,{tmp_path}/nowhere")
