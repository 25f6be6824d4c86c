"""Several photographs of one object."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from srrs.data.samples import checked, from_table
from srrs.errors import DataError
from srrs.features.store import encode


class Means:
    """An encoder whose features are the mean colors, of unit length."""

    fingerprint, feature_size, device, preprocessing = "means", 3, torch.device("cpu"), {}

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.array(image, dtype=np.float32)).permute(2, 0, 1)

    def preprocess_crop(self, image, box, flip):
        return self.preprocess(image)

    def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(pixels.mean((2, 3)), dim=1)


@pytest.fixture
def table(tmp_path: Path) -> dict[str, list[str]]:
    colors = {"a2": (250, 9, 9), "a1": (9, 250, 9), "b1": (9, 9, 250), "c1": (90, 90, 9)}
    for name, color in colors.items():
        Image.new("RGB", (64, 64), color).save(tmp_path / f"{name}.png")
    (tmp_path / "b0.png").write_text("no picture")
    names = ["a2", "b0", "c1", "a1", "b1"]
    return {
        "path": [f"{n}.png" for n in names],
        "label": ["x", "y", "x", "", "y"],
        "object": ["007", "b", "c", "007", "b"],
    }


def test_rows_of_one_id_become_one_row_with_the_mean_of_their_features(table, tmp_path: Path) -> None:
    samples = checked(from_table(table, tmp_path, id_column="object"))
    assert samples.ids == ("007", "b", "c")
    assert samples.given == ("x", "y", "x")
    assert samples.issues == ("", "", "")
    assert [path.name for path in samples.paths] == ["a1.png", "b1.png", "c1.png"]
    assert "2 ids stand in several rows" in samples.notes[0]
    assert "1 images of objects cannot be read" in samples.notes[1]
    features = encode(samples, range(3), Means(), views=1)
    mean = np.array([259, 259, 18]) / np.linalg.norm([259, 259, 18])
    np.testing.assert_allclose(features.plain[0], mean, atol=2e-3)
    np.testing.assert_allclose(features.views[0, 0], mean, atol=2e-3)
    np.testing.assert_allclose(features.plain[1], np.array([9, 9, 250]) / np.linalg.norm([9, 9, 250]), atol=2e-3)


def test_the_order_of_rows_moves_no_bit(table, tmp_path: Path) -> None:
    order = [4, 3, 0, 2, 1]
    moved = {name: [column[at] for at in order] for name, column in table.items()}
    one, other = (checked(from_table(t, tmp_path, id_column="object")) for t in (table, moved))
    assert other.ids == ("b", "007", "c")
    first, second = encode(one, [1, 0, 2], Means(), views=2), encode(other, [0, 1, 2], Means(), views=2)
    np.testing.assert_array_equal(first.plain, second.plain)
    np.testing.assert_array_equal(first.views, second.views)


def test_an_object_none_of_whose_photographs_opens_is_a_row_with_an_issue(table, tmp_path: Path) -> None:
    (tmp_path / "a1.png").unlink()
    (tmp_path / "a2.png").unlink()
    samples = checked(from_table(table, tmp_path, id_column="object"))
    assert samples.issues == ("missing file", "", "")


def test_two_labels_of_one_object_name_their_rows(table, tmp_path: Path) -> None:
    table["label"][4] = "x"
    with pytest.raises(DataError, match="'b' is 'y' in row 2 and 'x' in row 5"):
        from_table(table, tmp_path, id_column="object")


def test_without_the_column_each_photograph_is_its_own_row(table, tmp_path: Path) -> None:
    assert len(from_table(table, tmp_path)) == 5
