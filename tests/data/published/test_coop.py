import json
import os
from pathlib import Path

import pytest

from srrs.data.published import read_dataset, subset
from srrs.data.published.coop import LAYOUTS
from srrs.errors import DataError

ROWS = {
    "train": [["b/1.jpg", 1, "sea_horse"], ["a/1.jpg", 0, "ant"], ["a/2.jpg", 0, "ant"]],
    "val": [["a/3.jpg", 0, "ant"]],
    "test": [["c/1.jpg", 2, "2012 BMW M3 coupe"], ["b/2.jpg", 1, "sea_horse"]],
}


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")


def miniature(root, name, folder=0, rows=ROWS):
    """A dataset of `LAYOUTS` with these rows; the folder of its split file."""
    layout = LAYOUTS[name]
    home = root / layout.folders[folder]
    write(home / layout.split, rows)
    touch(home / layout.images, *(row[0] for part in rows.values() for row in part))
    return home


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_split_file_is_read_in_its_order(name, tmp_path):
    home = miniature(tmp_path, name)
    read = read_dataset(name, tmp_path)
    assert read.name == name
    assert read.class_names == ("ant", "sea horse", "2012 BMW M3 coupe")
    assert read.train.paths == ("b/1.jpg", "a/1.jpg", "a/2.jpg")
    assert read.train.labels.tolist() == [1, 0, 0]
    assert read.train.files[0] == home / LAYOUTS[name].images / "b/1.jpg"
    assert read.val is not None
    assert read.val.paths == ("a/3.jpg",)
    assert read.test.labels.tolist() == [2, 1]
    assert all(file.is_file() for part in (read.train, read.val, read.test) for file in part.files)
    assert read.train.given is None
    assert read.train.truth_known


def test_caltech101_may_lie_in_either_folder(tmp_path):
    miniature(tmp_path, "caltech101", folder=1)
    assert read_dataset("caltech101", tmp_path).train.files[0].is_relative_to(tmp_path / "caltech101")
    miniature(tmp_path, "caltech101", folder=0)
    assert read_dataset("caltech101", tmp_path).train.files[0].is_relative_to(tmp_path / "caltech-101")


def test_both_places_looked_for_are_named(tmp_path):
    with pytest.raises(DataError, match=r"split_zhou_Caltech101.json or .*split_zhou_Caltech101.json, but") as error:
        read_dataset("caltech101", tmp_path)
    for path in ("caltech-101/split_zhou_Caltech101.json", "caltech101/split_zhou_Caltech101.json"):
        assert str(tmp_path / path) in str(error.value)


def test_flowers_answer_to_coops_name_too(tmp_path):
    miniature(tmp_path, "flowers102")
    assert read_dataset("oxford_flowers", tmp_path).name == "flowers102"


def test_missing_photographs_are_counted_over_all_splits(tmp_path):
    home = miniature(tmp_path, "dtd")
    (home / "images/b/2.jpg").unlink()
    (home / "images/a/1.jpg").unlink()
    with pytest.raises(DataError, match=r"the 6 images of dtd, but 2 are missing: .*a/1.jpg, .*b/2.jpg. Download"):
        read_dataset("dtd", tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "but it is no JSON"),
        ([], "found something else"),
        ({"train": [], "val": []}, "found something else"),
        (ROWS | {"val": [["a/1.jpg", "0", "ant"]]}, r'row 1 of val is \["a/1.jpg", "0", "ant"\]'),
        (ROWS | {"val": [["a/1.jpg", 0]]}, "row 1 of val"),
        (ROWS | {"val": [["a/1.jpg", 0, "bee"]]}, "one name per class in .*, but 0 is 'ant' and 'bee'"),
        (ROWS | {"val": [["a/1.jpg", 4, "bee"]]}, "found 0 to 4 with gaps"),
        (ROWS | {"test": []}, "images in the test split of ucf101, but found none"),
    ],
)
def test_a_split_file_that_is_not_coops_is_refused(tmp_path, content, message):
    home = miniature(tmp_path, "ucf101")
    write(home / LAYOUTS["ucf101"].split, content)
    with pytest.raises(DataError, match=message):
        read_dataset("ucf101", tmp_path)


@pytest.mark.parametrize("folder", ["fgvc_aircraft", "fgvc-aircraft-2013b/data"])
def test_aircraft_is_read_by_its_own_lists(tmp_path, folder):
    home = tmp_path / folder
    write(home / "variants.txt", "707-320\nF/A-18\nDHC-8 100\n")
    write(home / "images_variant_train.txt", "1025794 F/A-18\n0000002 707-320\n")
    write(home / "images_variant_val.txt", "0000003 707-320\n")
    write(home / "images_variant_test.txt", "0000004 DHC-8 100\n")
    touch(home / "images", "1025794.jpg", "0000002.jpg", "0000003.jpg", "0000004.jpg")
    read = read_dataset("fgvc_aircraft", tmp_path)
    assert read.class_names == ("707-320", "F/A-18", "DHC-8 100")
    assert read.train.paths == ("1025794.jpg", "0000002.jpg")
    assert read.train.labels.tolist() == [1, 0]
    assert read.test.labels.tolist() == [2]
    write(home / "images_variant_val.txt", "0000003 Zeppelin\n")
    with pytest.raises(DataError, match=r"images_variant_val.txt, but 0000003 is a 'Zeppelin'"):
        read_dataset("fgvc_aircraft", tmp_path)
    (home / "images_variant_val.txt").unlink()
    with pytest.raises(DataError, match=r"Expected the file .*images_variant_val.txt, but found nothing"):
        read_dataset("fgvc_aircraft", tmp_path)


@pytest.fixture
def imagenet(tmp_path):
    write(tmp_path / "imagenet/classnames.txt", "n01440764 tench\nn01443537 goldfish\nn01484850 great white shark\n")
    images = tmp_path / "imagenet/images"
    touch(images, "train/n01484850/b.JPEG", "train/n01484850/a.JPEG", "train/n01440764/c.JPEG", "train/.DS_Store")
    touch(images, "val/n01440764/v1.JPEG", "val/n01484850/v2.JPEG", "val/n01484850/notes.txt", "val/n01443537/x.JPEG")
    return tmp_path


def test_imagenet_is_read_by_folder_and_tested_on_its_validation_part(imagenet):
    read = read_dataset("imagenet", imagenet)
    assert read.class_names == ("tench", "great white shark")
    assert read.train.paths == ("train/n01440764/c.JPEG", "train/n01484850/a.JPEG", "train/n01484850/b.JPEG")
    assert read.train.labels.tolist() == [0, 1, 1]
    assert read.test.paths == ("val/n01440764/v1.JPEG", "val/n01484850/v2.JPEG")
    assert read.test.labels.tolist() == [0, 1]
    assert read.val is None
    assert subset(read, 2).val is None


def test_imagenets_validation_part_has_to_be_sorted_into_folders(imagenet):
    os.rename(imagenet / "imagenet/images/val/n01484850", imagenet / "imagenet/images/val/elsewhere")
    with pytest.raises(DataError, match=r"1 are missing: n01484850. Sort the validation images"):
        read_dataset("imagenet", imagenet)


def test_an_imagenet_folder_needs_a_name_and_a_place(imagenet):
    touch(imagenet / "imagenet/images", "train/n09999999/a.JPEG")
    with pytest.raises(DataError, match=r"a name of the class n09999999 in .*classnames.txt"):
        read_dataset("imagenet", imagenet)
    os.rename(imagenet / "imagenet/images/train", imagenet / "imagenet/images/elsewhere")
    with pytest.raises(DataError, match=r"Expected the folder .*images/train, but found nothing there. Download"):
        read_dataset("imagenet", imagenet)


@pytest.mark.skipif("SRRS_CALTECH101" not in os.environ, reason="SRRS_CALTECH101 names no folder with caltech101/")
def test_the_real_caltech101_has_the_sizes_that_papers_report():
    read = read_dataset("caltech101", Path(os.environ["SRRS_CALTECH101"]))
    assert len(read.class_names) == 100
    assert read.val is not None
    assert (len(read.train), len(read.val), len(read.test)) == (4128, 1649, 2465)
    assert read.class_names[:3] == ("face", "leopard", "motorbike")
    assert read.train.paths[0] == "Faces/image_0274.jpg"
    assert len({*read.train.paths, *read.val.paths, *read.test.paths}) == 8242
    assert set(subset(read, "base").class_names).isdisjoint(subset(read, "new").class_names)
