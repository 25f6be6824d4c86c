"""CIFAR-10N and CIFAR-100N: the images of CIFAR with new labels that people gave (Wei et al., ICLR 2022).

The images are read from CIFAR's binary version, because the Python version consists of pickles, which could run any
code. The published human labels are a pickle, too. They have to be copied once into an .npz or .csv file. The images
are written once as uncompressed PNG, so that their bytes do not depend on the version of zlib.
"""

import hashlib
import os
import shutil
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from srrs.data.classes import words_of
from srrs.data.images import WORKERS
from srrs.data.published.base import DataSet, assemble, locate, make_split, read_lines
from srrs.data.tables import read_table
from srrs.errors import DataError, SettingsError
from srrs.io import cache_root
from srrs.records import Ints

HUMAN = {
    "aggregate": "aggre_label",
    "random1": "random_label1",
    "random2": "random_label2",
    "random3": "random_label3",
    "worst": "worse_label",
}
"""The kinds of human labels of CIFAR-10N, and their names in the published file."""

_SIDE = 32
"""Side of an image in pixels."""
_PIXELS = 3 * _SIDE * _SIDE

Bytes = NDArray[np.uint8]
ARRAYS_ALONE = (
    "import _codecs, numpy as n, torch; r = n._core.multiarray._reconstruct; "
    "torch.serialization.add_safe_globals([n.ndarray, n.dtype, n.dtypes.Int64DType, _codecs.encode, "
    "(r, 'numpy.core.multiarray._reconstruct'), (r, 'numpy._core.multiarray._reconstruct')]); "
    "n.savez('{0}.npz', **torch.load('{0}.pt', weights_only=True))"
)
"""A program that copies the official file of labels without running code from the pickle."""


class Layout(NamedTuple):
    """The files of CIFAR's binary version and of the human labels."""

    name: str
    folder: str
    train: tuple[str, ...]
    test: str
    names: str
    """Name of the file with the class names."""
    labels_per_picture: int
    """Number of label bytes before the pixels. The last of them is the label."""
    human: str
    """Stem of the file with the human labels."""

    def advice(self, root: Path) -> str:
        """Return a text that explains how to get missing files."""
        name = self.name.replace("cifar", "cifar-")
        return (
            f"Download and unpack https://www.cs.toronto.edu/~kriz/{name}-binary.tar.gz (the binary version), so that "
            f"you have {root / self.folder}. Download {self.human}.pt from https://github.com/UCSC-REAL/cifar-10-100n "
            "(folder data). It is a pickle, which srrs does not open; copy its numbers once, and nothing but "
            f'arrays, with python -c "{ARRAYS_ALONE.format(self.human)}" and put the result at '
            f"{root / self.folder / self.human}.npz."
        )


CIFAR10 = Layout(
    "cifar10",
    "cifar-10-batches-bin",
    tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    "test_batch.bin",
    "batches.meta.txt",
    1,
    "CIFAR-10_human",
)
CIFAR100 = Layout(
    "cifar100", "cifar-100-binary", ("train.bin",), "test.bin", "fine_label_names.txt", 2, "CIFAR-100_human"
)


def cifar10n(root: Path, human: str = "worst", cache: Path | None = None) -> DataSet:
    """Read CIFAR-10N with one kind of its human labels.

    Parameters
    ----------
    root : folder that contains the folder of the dataset.
    human : one of `HUMAN`.
    cache : folder below which images are written; `srrs.io.cache_root()` by default.

    Raises
    ------
    DataError
        A file is missing or damaged, the human labels are in another order, or the cache cannot be written.
    SettingsError
        `human` is not one of `HUMAN`.
    """
    if human not in HUMAN:
        raise SettingsError(f"Expected human labels of CIFAR-10N ({', '.join(HUMAN)}), but got '{human}'.")
    return _read(CIFAR10, f"cifar10n-{human}", (HUMAN[human],), root, cache)


def cifar100n(root: Path, cache: Path | None = None) -> DataSet:
    """Read CIFAR-100N with its fine labels. Parameters and errors are those of `cifar10n`."""
    return _read(CIFAR100, "cifar100n", ("noisy_label", "noise_label"), root, cache)


def _read(layout: Layout, name: str, columns: tuple[str, ...], root: Path, cache: Path | None) -> DataSet:
    """Read a dataset. `columns` are possible names of the human labels in their file."""
    advice = layout.advice(root)
    folder = locate(root, (layout.folder,), layout.test, advice)
    names = [words_of(line) for line in read_lines(folder / layout.names, advice)]
    parts = {
        "train": np.concatenate([_records(folder / file, layout, advice) for file in layout.train]),
        "test": _records(folder / layout.test, layout, advice),
    }
    labels = {part: records[:, layout.labels_per_picture - 1].astype(np.int64) for part, records in parts.items()}
    given = _human_labels(layout, columns, labels["train"], root, advice)
    pictures = _write_once(layout, parts, cache)
    train, test = (
        make_split(pictures, [(f"{part}/{row:05d}.png", int(label)) for row, label in enumerate(labels[part])])
        for part in ("train", "test")
    )
    train = replace(train, given=given)
    return assemble(name, names, train, None, test, f"Remove {pictures} and read the dataset again. {advice}")


def _records(path: Path, layout: Layout, advice: str) -> Bytes:
    """Return the records (N, labels + pixels) of a binary file. Raises DataError if the file is missing or damaged."""
    size = layout.labels_per_picture + _PIXELS
    data = np.fromfile(path, dtype=np.uint8) if path.is_file() else np.empty(0, dtype=np.uint8)
    if not len(data) or len(data) % size:
        found = f"{len(data)} bytes" if path.is_file() else "nothing"
        raise DataError(f"Expected {path} with {size} bytes for each image, but found {found}. {advice}")
    return data.reshape(-1, size)


def _human_labels(layout: Layout, columns: tuple[str, ...], labels: Ints, root: Path, advice: str) -> Ints:
    """Return the human labels (N,). Raises DataError if they are missing or their true labels differ from `labels`."""
    files = [f"{layout.human}.npz", f"{layout.human}.csv"]
    folders = (layout.folder, "cifar-10-100n/data", "cifar-10-100n", ".")
    looked = [root / folder / file for folder in folders for file in files]
    path = next((path for path in looked if path.is_file()), None)
    if path is None:
        raise DataError(f"Expected human labels at {looked[0]} or {looked[1]}, but found nothing there. {advice}")
    table = _numbers(path, ("clean_label", *columns), advice)
    if "clean_label" not in table or not (found := [name for name in columns if name in table]):
        raise DataError(
            f"Expected clean_label and {columns[0]} in {path}, but found {', '.join(table) or 'neither'}. {advice}"
        )
    given, clean = table[found[0]], table["clean_label"]
    if clean.shape != labels.shape or given.shape != labels.shape or (clean != labels).any():
        raise DataError(
            f"Expected {path} to have CIFAR's {len(labels)} training labels as clean_label, in CIFAR's order, but "
            f"they differ. {layout.human}_ordered.npy has the order of TensorFlow's dataset: do not use it. {advice}"
        )
    return given


def _numbers(path: Path, wanted: tuple[str, ...], advice: str) -> dict[str, Ints]:
    """Return the wanted columns that an .npz or .csv file has. Raises DataError if they are not whole numbers."""
    try:
        if path.suffix == ".csv":
            table = read_table(path)
            return {name: np.array(table[name], dtype=np.int64) for name in wanted if name in table}
        with np.load(path) as arrays:
            found = {name: np.asarray(arrays[name]) for name in wanted if name in arrays}
        return {name: array.astype(np.int64, casting="same_kind") for name, array in found.items()}
    except (OSError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(f"Expected whole numbers in {path}, but could not read them: {error}. {advice}") from None


def _write_once(layout: Layout, parts: dict[str, Bytes], cache: Path | None) -> Path:
    """Return the folder with the images `train/00000.png` and so on. It is written at the first call.

    The folder is renamed when it is complete. Raises DataError if it cannot be written.
    """
    cache = cache or cache_root()
    digest = hashlib.sha256()
    for records in parts.values():
        digest.update(records.tobytes())
    folder = cache / "pictures" / f"{layout.name}-{digest.hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    try:
        temporary = folder.with_name(f"{uuid.uuid4().hex}.tmp")
        temporary.mkdir(parents=True)
        try:
            for part, records in parts.items():
                _write(temporary / part, records[:, layout.labels_per_picture :])
            os.rename(temporary, folder)
        except OSError:
            if not folder.is_dir():  # otherwise another run has written it
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"Expected to write the images to {folder}, but could not: {error}. Free some space, or set "
            "SRRS_CACHE to a folder that can be written."
        ) from None
    return folder


def _write(folder: Path, pixels: Bytes) -> None:
    """Write images as PNG files. `pixels` are (N, 3 * side * side), channel by channel."""
    folder.mkdir()
    pictures = np.ascontiguousarray(pixels.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1))

    def save(row: int) -> None:
        Image.fromarray(pictures[row]).save(folder / f"{row:05d}.png", compress_level=0)

    with ThreadPoolExecutor(WORKERS) as pool:
        for _ in pool.map(save, range(len(pictures))):
            pass
