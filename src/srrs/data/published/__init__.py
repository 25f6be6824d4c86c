"""Readers of published datasets with their published splits.

Each reader takes the folder that contains the dataset's folder.
"""

import difflib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from srrs.data.published.base import DataSet, Split, subset
from srrs.data.published.cifar import HUMAN, cifar10n, cifar100n
from srrs.data.published.coop import COOP
from srrs.data.published.web import animal10n, clothing1m, food101n, mini_webvision
from srrs.errors import DataError

__all__ = ["DATASETS", "DataSet", "Split", "read_dataset", "subset"]

DATASETS: dict[str, Callable[[Path], DataSet]] = {
    **COOP,
    "oxford_flowers": COOP["flowers102"],
    "food101n": food101n,
    "cifar10n": cifar10n,
    **{f"cifar10n-{human}": partial(cifar10n, human=human) for human in HUMAN},
    "cifar100n": cifar100n,
    "clothing1m": clothing1m,
    "clothing1m-both": partial(clothing1m, both=True),
    "mini-webvision": mini_webvision,
    "animal10n": animal10n,
}
"""Readers by name. Case, `-`, `_` and spaces in a name do not matter."""


def read_dataset(name: str, root: str | Path) -> DataSet:
    """Read a published dataset. No image is opened, but every file of the split must exist.

    Parameters
    ----------
    name : one of `DATASETS`.
    root : folder that contains the folder of the dataset, such as CoOp's `$DATA`.

    Raises
    ------
    DataError
        There is no such dataset, or a file of the dataset is missing or malformed. The message states what was expected
        and where, what to download, and where to put it.
    """
    known = {_plain(key): reader for key, reader in DATASETS.items()}
    reader = known.get(_plain(name))
    if reader is None:
        near = difflib.get_close_matches(name.lower(), DATASETS, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise DataError(f"Expected one of the datasets {', '.join(DATASETS)}, but got '{name}'.{hint}")
    root = Path(root).expanduser()
    if not root.is_dir():
        raise DataError(f"Expected the folder that holds the datasets at {root}, but there is none.")
    return reader(root)


def _plain(name: str) -> str:
    """Return a name in lower case, with letters and digits only."""
    return "".join(character for character in name.lower() if character.isalnum())
