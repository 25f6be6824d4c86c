"""The keywords that every reader of a dataset takes, in one record."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

Names = Mapping[str, str] | str | Path
"""Words for class keys: a mapping, or a JSON, YAML, CSV, TSV or text file of it."""
Roots = str | Path | Sequence[str | Path]
"""One folder, several, or a comma list of folders."""


class ReadKeywords(TypedDict, total=False):
    """Keywords of `read`, `from_csv` and the other readers; `ReadOptions` says what each means."""

    images: Roots | None
    path_column: str | None
    label_column: str | None
    id_column: str | None
    names: Names | None
    class_names: Sequence[str] | None
    labeled: bool | None
    pictured: bool
    merge_case: bool


@dataclass(frozen=True)
class ReadOptions:
    """How to read a dataset."""

    images: Roots | None = None
    """Folder that the paths of a table start from, or several: the first that has the file counts. By default the
    folder of the table; for a DataFrame the working directory."""
    path_column: str | None = None
    """Column of image paths; by default the first one with a usual name (path, file, image, ...)."""
    label_column: str | None = None
    """Column of labels; by default the first one with a usual name (label, class, tag, ...)."""
    id_column: str | None = None
    """Column of ids; rows with the same id are images of one object. By default a column `id` whose entries all
    differ, else the paths as written."""
    names: Names | None = None
    """Words for class keys that are codes."""
    class_names: Sequence[str] | None = None
    """The classes and their order, where they are fixed beforehand (those of a fitted model)."""
    labeled: bool | None = True
    """False: labels are not needed and stay unread. None: the labels of a list are read where there are any."""
    pictured: bool = True
    """False: features are at hand, so image files need not exist."""
    merge_case: bool = False
    """Read labels that differ only in case ('Dog', 'dog') as one class instead of refusing them."""

    @classmethod
    def of(cls, function: str, /, **keywords: Unpack[ReadKeywords]) -> "ReadOptions":
        """Make options of the keywords of a function.

        Raises
        ------
        TypeError
            A keyword is unknown; the message names the nearest known one.
        """
        known = [field.name for field in fields(cls)]
        for name in keywords:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"Did you mean '{near[0]}'?" if near else f"Known are {', '.join(known)}."
                raise TypeError(f"{function}() got an unexpected keyword argument '{name}'. {hint}")
        return cls(**keywords)

    def with_(self, **changes: Any) -> "ReadOptions":
        """Return a copy with these fields changed."""
        return replace(self, **changes)
