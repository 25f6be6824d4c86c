import pytest

from srrs.data.published import read_dataset, subset
from srrs.errors import DataError


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def food(tmp_path):
    web, tested = tmp_path / "Food-101N_release", tmp_path / "food-101"
    paths = ["cheesecake/aa.jpg", "apple_pie/bb.jpg", "cheesecake/cc.jpg", "cheese_plate/dd.jpg"]
    write(web / "meta/classes.txt", "class_name", "apple_pie", "cheesecake", "cheese_plate")
    write(web / "meta/imagelist.tsv", "class_name/key", *paths)
    verified = ["cheesecake/cc.jpg\t0", "apple_pie/bb.jpg\t1", "cheesecake/not_listed.jpg\t1"]
    write(web / "meta/verified_train.tsv", "class_name/key\tverification_label", *verified)
    touch(web / "images", *paths)
    write(tested / "meta/test.txt", "cheese_plate/100", "apple_pie/200")
    touch(tested / "images", "cheese_plate/100.jpg", "apple_pie/200.jpg")
    return tmp_path


def test_food101n_is_tested_on_food101_and_knows_which_labels_were_verified(food):
    read = read_dataset("food101n", food)
    assert read.class_names == ("apple pie", "cheesecake", "cheese plate")
    assert read.train.paths[0] == "cheesecake/aa.jpg"
    assert read.train.labels.tolist() == [1, 0, 1, 2]
    assert read.train.given is not None
    assert read.train.given.tolist() == [1, 0, 1, 2]
    assert not read.train.truth_known
    assert read.train.verified is not None
    assert read.train.verified.tolist() == [-1, 1, 0, -1]
    assert read.test.paths == ("cheese_plate/100.jpg", "apple_pie/200.jpg")
    assert read.test.labels.tolist() == [2, 0]
    assert read.test.truth_known
    assert read.val is None
    narrowed = subset(read, ["cheesecake", "cheese plate"]).train
    assert not narrowed.truth_known
    assert narrowed.labels.tolist() == [0, 0, 1]


def test_food101n_asks_for_food101_as_well(food):
    (food / "food-101/meta/test.txt").unlink()
    with pytest.raises(DataError, match=r"food-101/meta/test.txt.*found nothing there. Download Food-101N"):
        read_dataset("food101n", food)


def test_a_dish_that_is_no_class_is_shown(food):
    write(food / "food-101/meta/test.txt", "sushi/1")
    with pytest.raises(DataError, match=r"in each line of .*test.txt, but found 'sushi/1.jpg'"):
        read_dataset("food101n", food)


@pytest.fixture(params=["clothing1m", "Clothing1M/annotations"])
def clothing(tmp_path, request):
    lists = tmp_path / request.param
    home = tmp_path / request.param.removesuffix("/annotations")
    write(lists / "category_names_eng.txt", "T-Shirt", "Shirt", "Knitwear")
    web = {"images/0/1,2.jpg": 1, "images/0/3.jpg": 0, "images/1/clean.jpg": 2}
    true = {"images/1/clean.jpg": 0, "images/1/alone.jpg": 1, "images/2/val.jpg": 1, "images/2/test.jpg": 2}
    write(lists / "noisy_label_kv.txt", *(f"{key} {label}" for key, label in web.items()))
    write(lists / "clean_label_kv.txt", *(f"{key} {label}" for key, label in true.items()))
    write(lists / "noisy_train_key_list.txt", "images/0/3.jpg", "images/0/1,2.jpg")
    write(lists / "clean_train_key_list.txt", "images/1/alone.jpg", "images/1/clean.jpg")
    write(lists / "clean_val_key_list.txt", "images/2/val.jpg")
    write(lists / "clean_test_key_list.txt", "images/2/test.jpg")
    touch(home, *web, *true)
    return tmp_path, lists, home


def test_clothing1m_trains_on_labels_of_the_web(clothing):
    root, _, home = clothing
    read = read_dataset("clothing1m", root)
    assert read.class_names == ("T-Shirt", "Shirt", "Knitwear")
    assert read.train.paths == ("images/0/3.jpg", "images/0/1,2.jpg")
    assert read.train.files[0] == home / "images/0/3.jpg"
    assert read.train.given is not None
    assert read.train.given.tolist() == read.train.labels.tolist() == [0, 1]
    assert not read.train.truth_known
    assert read.val is not None
    assert read.val.labels.tolist() == [1]
    assert read.test.labels.tolist() == [2]
    assert read.test.truth_known


def test_clothing1m_with_both_labels_knows_the_truth(clothing):
    root, _, _ = clothing
    train = read_dataset("clothing1m-both", root).train
    assert train.paths == ("images/1/clean.jpg",)
    assert train.labels.tolist() == [0]
    assert train.given is not None
    assert train.given.tolist() == [2]
    assert train.truth_known


def test_a_photograph_of_clothing1m_without_a_label_is_named(clothing):
    root, lists, _ = clothing
    write(lists / "clean_val_key_list.txt", "images/2/val.jpg", "images/2/none.jpg")
    with pytest.raises(DataError, match=r"clean_val_key_list.txt, but 'images/2/none.jpg' has none. Ask for"):
        read_dataset("clothing1m", root)


def test_a_class_number_without_a_name_is_shown(clothing):
    root, lists, _ = clothing
    write(lists / "category_names_eng.txt", "T-Shirt", "Shirt")
    with pytest.raises(DataError, match=r"from 0 to 1 in the test split of clothing1m, but 'images/2/test.jpg' has 2"):
        read_dataset("clothing1m", root)


@pytest.mark.parametrize("validation", ["val_images_256", "val_images"])
def test_mini_webvision_is_the_first_fifty_classes_of_google(tmp_path, validation):
    home = tmp_path / "webvision"
    synsets = [f"n{number:08d} sea_bird {number}, Avis {number}" for number in range(60)]
    write(home / "info/synsets.txt", *synsets)
    write(
        home / "info/train_filelist_google.txt", "google/q0001/b.jpg 0", "google/q0002/a.jpg 49", "google/q3/c.jpg 50"
    )
    write(home / "info/val_filelist.txt", "val000001.jpg 878", "val000002.jpg 49")
    touch(home, "google/q0001/b.jpg", "google/q0002/a.jpg", f"{validation}/val000002.jpg")
    read = read_dataset("mini-webvision", tmp_path)
    assert len(read.class_names) == 50
    assert read.class_names[49] == "sea bird 49"
    assert read.train.paths == ("google/q0001/b.jpg", "google/q0002/a.jpg")
    assert read.train.given is not None
    assert read.train.given.tolist() == [0, 49]
    assert not read.train.truth_known
    assert read.test.files == (home / validation / "val000002.jpg",)
    assert read.test.labels.tolist() == [49]
    assert read.test.truth_known


def test_animal10n_is_labeled_by_its_file_names(tmp_path):
    home = tmp_path / "animal10n"
    touch(home / "training", "9_12.jpg", "0_7.jpg", "0_10.jpg", "readme.txt")
    touch(home / "testing", "3_1.jpg")
    read = read_dataset("animal10n", tmp_path)
    assert len(read.class_names) == 10
    assert read.class_names[9] == "guinea pig"
    assert read.train.paths == ("0_10.jpg", "0_7.jpg", "9_12.jpg")
    assert read.train.labels.tolist() == [0, 0, 9]
    assert not read.train.truth_known
    assert read.test.truth_known
    touch(home / "testing", "cat.jpg")
    with pytest.raises(DataError, match=r"<class number>_<id>.jpg in .*testing, but found cat.jpg"):
        read_dataset("animal10n", tmp_path)
