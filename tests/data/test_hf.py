"""Hugging Face's data sets, where the package is installed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srrs.data import hf
from srrs.data.samples import checked, read
from srrs.errors import DataError, MissingExtraError

NAMES = ["sea horse", "cat", "dog"]


@pytest.fixture
def dataset(tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)) for _ in range(4)]
    features = datasets.Features(
        {"picture": datasets.Image(), "kind": datasets.ClassLabel(names=NAMES), "id": datasets.Value("string")}
    )
    columns = {"picture": pictures, "kind": [1, 0, -1, 2], "id": ["007", "a,b", "ünï", "x"]}
    return datasets.Dataset.from_dict(columns, features=features)


def test_a_data_set_keeps_its_order_ids_and_names_in_memory_and_on_disk(dataset, tmp_path: Path) -> None:
    dataset.save_to_disk(str(tmp_path / "stored"))
    for source in (dataset, tmp_path / "stored", dataset.with_format("numpy")):
        samples = checked(read(source))
        assert samples.ids == ("007", "a,b", "ünï", "x")
        assert samples.given == ("cat", "sea horse", "", "dog")
        assert samples.class_names == ("cat", "dog", "sea horse")
        assert samples.issues == ("", "", "no label", "")
        assert len(set(samples.keys)) == 4
    shuffled = read(dataset.select([3, 0]).remove_columns("id"))
    assert shuffled.ids == ("0", "1")
    assert shuffled.given == ("dog", "cat")


def test_several_splits_and_unknown_columns_are_named(dataset, tmp_path: Path) -> None:
    import datasets

    both = datasets.DatasetDict({"train": dataset, "held": dataset})
    both.save_to_disk(str(tmp_path / "both"))
    with pytest.raises(DataError, match="found the splits held, train: give one of them"):
        read(tmp_path / "both")
    with pytest.raises(DataError, match="found train, held: give one of them"):
        read(both)
    with pytest.raises(
        DataError,
        match=r"the label \(color\) in the dataset, but found the columns picture, kind, id\. "
        r"Name it with --label \(label_column=\)\.$",
    ):
        read(dataset, label_column="color")


def test_a_stored_data_set_without_the_package_names_it(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "dataset_info.json").write_text("{}")
    monkeypatch.setattr(hf.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'srrs\[datasets\]'"):
        read(tmp_path)
