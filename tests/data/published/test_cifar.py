import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srrs.data.published import read_dataset
from srrs.data.published.cifar import CIFAR10, CIFAR100, HUMAN, cifar10n
from srrs.errors import DataError, SettingsError

TRUTH = [2, 0, 1, 1, 2, 0, 0, 2, 1, 0]
KINDS = ("aggre_label", "random_label1", "random_label2", "random_label3", "worse_label")


def human():
    labels = np.array(TRUTH)
    return {"clean_label": labels} | {kind: (labels + (np.arange(10) < at)) % 3 for at, kind in enumerate(KINDS)}


def records(labels, pixels, coarse=False):
    before = np.stack([np.full(len(labels), 77), labels], 1) if coarse else np.array(labels)[:, None]
    return np.concatenate([before.astype(np.uint8), pixels.reshape(len(labels), -1)], 1)


@pytest.fixture
def pixels():
    """(12, 3, 32, 32): ten to train on, two to test on."""
    return np.random.default_rng(0).integers(0, 256, (12, 3, 32, 32), dtype=np.uint8)


@pytest.fixture
def cifar10(tmp_path, pixels):
    home = tmp_path / CIFAR10.folder
    home.mkdir()
    for at, name in enumerate(CIFAR10.train):
        rows = slice(2 * at, 2 * at + 2)
        records(TRUTH[rows], pixels[rows]).tofile(home / name)
    records([1, 2], pixels[10:]).tofile(home / CIFAR10.test)
    (home / CIFAR10.names).write_text("airplane\nautomobile\nbird\n\n")
    np.savez(home / "CIFAR-10_human.npz", **human())
    return tmp_path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SRRS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_labels_are_true_and_given_ones_are_peoples(cifar10, cache):
    read = read_dataset("cifar10n", cifar10)
    assert read.name == "cifar10n-worst"
    assert read.class_names == ("airplane", "automobile", "bird")
    assert read.train.labels.tolist() == TRUTH
    assert read.train.given is not None
    assert read.train.given.tolist() == human()["worse_label"].tolist()
    assert read.train.truth_known
    assert read.train.paths[:2] == ("train/00000.png", "train/00001.png")
    assert read.test.labels.tolist() == [1, 2]
    assert read.val is None


def test_photographs_are_those_of_the_binary_files(cifar10, cache, pixels):
    read = read_dataset("cifar10n", cifar10)
    files = (*read.train.files, *read.test.files)
    assert all(file.is_relative_to(cache) for file in files)
    for file, original in zip(files, pixels, strict=True):
        with Image.open(file) as picture:
            assert (np.asarray(picture) == original.transpose(1, 2, 0)).all()


def test_photographs_are_written_once_and_whole(cifar10, cache):
    first = read_dataset("cifar10n", cifar10).train.files
    before = [file.stat().st_mtime_ns for file in first]
    second = read_dataset("cifar10n-random2", cifar10).train.files
    assert second == first
    assert [file.stat().st_mtime_ns for file in second] == before
    assert [path.suffix for path in (cache / "pictures").iterdir()] == [""]
    first[3].unlink()
    with pytest.raises(DataError, match=r"but 1 are missing: .*00003.png. Remove .*cifar10-\w+ and read"):
        read_dataset("cifar10n", cifar10)


def test_a_cache_folder_can_be_given_and_may_be_unwritable(cifar10, tmp_path):
    read = cifar10n(cifar10, cache=tmp_path / "mine")
    assert read.train.files[0].is_relative_to(tmp_path / "mine")
    (tmp_path / "a file").touch()
    with pytest.raises(DataError, match=r"Expected to write the images to .*SRRS_CACHE"):
        cifar10n(cifar10, cache=tmp_path / "a file")


@pytest.mark.parametrize(("name", "column"), [*zip(HUMAN, KINDS, strict=True)])
def test_each_kind_of_human_label_has_a_name(cifar10, cache, name, column):
    read = read_dataset(f"cifar10n-{name}", cifar10)
    assert read.name == f"cifar10n-{name}"
    assert read.train.given is not None
    assert read.train.given.tolist() == human()[column].tolist()


def test_an_unknown_kind_is_refused(cifar10):
    with pytest.raises(SettingsError, match=r"aggregate, random1.* but got 'best'"):
        cifar10n(cifar10, human="best")


def test_human_labels_may_be_a_csv_beside_the_root(cifar10, cache):
    (cifar10 / CIFAR10.folder / "CIFAR-10_human.npz").unlink()
    lines = [",".join(human()), *(",".join(map(str, row)) for row in zip(*human().values(), strict=True))]
    (cifar10 / "CIFAR-10_human.csv").write_text("\n".join(lines))
    assert read_dataset("cifar10n", cifar10).train.given.tolist() == human()["worse_label"].tolist()


def test_without_human_labels_the_one_line_that_makes_them_is_given(cifar10, tmp_path, monkeypatch):
    (cifar10 / CIFAR10.folder / "CIFAR-10_human.npz").unlink()
    with pytest.raises(DataError, match=r"Expected human labels at .*CIFAR-10_human.npz or .*csv") as error:
        read_dataset("cifar10n", cifar10)
    line = str(error.value).split('python -c "')[1].split('"')[0]
    torch = pytest.importorskip("torch")
    torch.save(human(), tmp_path / "CIFAR-10_human.pt")
    monkeypatch.chdir(tmp_path)
    exec(line)  # what the message tells users to run
    assert str(error.value).split("put the result at ")[1] == f"{cifar10 / CIFAR10.folder / 'CIFAR-10_human.npz'}."
    assert cifar10n(cifar10, cache=tmp_path / "cache").train.given.tolist() == human()["worse_label"].tolist()


def test_labels_in_another_order_are_refused(cifar10, cache):
    order = np.random.default_rng(1).permutation(10)
    np.savez(cifar10 / CIFAR10.folder / "CIFAR-10_human.npz", **{name: row[order] for name, row in human().items()})
    with pytest.raises(DataError, match=r"in CIFAR's order, but they differ. CIFAR-10_human_ordered.npy"):
        read_dataset("cifar10n", cifar10)


class Trap:
    sprung = False

    def __reduce__(self):
        return setattr, (Trap, "sprung", True)


def test_no_pickle_is_opened(cifar10, cache):
    path = cifar10 / CIFAR10.folder / "CIFAR-10_human.npz"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DataError, match=r"Expected whole numbers in .*npz, but could not read them"):
        read_dataset("cifar10n", cifar10)
    np.savez(path, clean_label=np.array([Trap()], dtype=object))
    with pytest.raises(DataError, match="Expected whole numbers"):
        read_dataset("cifar10n", cifar10)
    assert not Trap.sprung


def test_columns_that_lack_or_are_no_whole_numbers_are_named(cifar10, cache):
    path = cifar10 / CIFAR10.folder / "CIFAR-10_human.npz"
    np.savez(path, clean_label=np.array(TRUTH))
    with pytest.raises(DataError, match=r"Expected clean_label and worse_label in .*, but found clean_label"):
        read_dataset("cifar10n", cifar10)
    np.savez(path, **{name: row + 0.5 for name, row in human().items()})
    with pytest.raises(DataError, match="Expected whole numbers"):
        read_dataset("cifar10n", cifar10)


def test_a_truncated_file_is_named(cifar10, cache):
    path = cifar10 / CIFAR10.folder / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"data_batch_3.bin with 3073 bytes for each image, but found 6145 bytes"):
        read_dataset("cifar10n", cifar10)
    path.unlink()
    with pytest.raises(DataError, match=r"data_batch_3.bin .*but found nothing"):
        read_dataset("cifar10n", cifar10)


@pytest.mark.parametrize("column", ["noisy_label", "noise_label"])
def test_cifar100n_takes_the_fine_label(tmp_path, cache, pixels, column):
    home = tmp_path / CIFAR100.folder
    home.mkdir()
    records(TRUTH, pixels[:10], coarse=True).tofile(home / "train.bin")
    records([1, 2], pixels[10:], coarse=True).tofile(home / "test.bin")
    (home / "fine_label_names.txt").write_text("apple\naquarium_fish\nbaby\n")
    np.savez(home / "CIFAR-100_human.npz", clean_label=np.array(TRUTH), **{column: human()["worse_label"]})
    read = read_dataset("cifar100n", tmp_path)
    assert read.class_names == ("apple", "aquarium fish", "baby")
    assert read.train.labels.tolist() == TRUTH
    assert read.train.given.tolist() == human()["worse_label"].tolist()
    with Image.open(read.test.files[1]) as picture:
        assert (np.asarray(picture) == pixels[11].transpose(1, 2, 0)).all()


def test_the_same_photograph_is_the_same_bytes_in_every_cache(cifar10, tmp_path):
    first, second = (cifar10n(cifar10, cache=tmp_path / name).train.files for name in ("one", "two"))
    assert [Path(file).read_bytes() for file in first] == [Path(file).read_bytes() for file in second]
