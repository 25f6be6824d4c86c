"""The keyword arguments that every reader of a dataset takes, as one record."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

Names = Mapping[str, str] | str | Path
"""Class names for class keys: a mapping, or a JSON, YAML, CSV, TSV or text file that contains one."""
Roots = str | Path | Sequence[str | Path]
"""One folder, a sequence of folders, or a text with several folders, separated by commas."""


class ReadKeywords(TypedDict, total=False):
    """Keyword arguments of `read`, `from_csv` and the other readers. `ReadOptions` describes them."""

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
    """Options for reading a dataset."""

    images: Roots | None = None
    """Folder to which the paths of a table are relative. If there are several folders, the first one that contains the
    file is used. The default is the folder of the table, and for a DataFrame the working directory."""
    path_column: str | None = None
    """Column of image paths; by default the first column with a usual name (path, file, image, ...)."""
    label_column: str | None = None
    """Column of labels; by default the first column with a usual name (label, class, tag, ...)."""
    id_column: str | None = None
    """Column of ids. Rows with the same id are images of one object. By default, the ids are the column `id` if all its
    entries differ, and otherwise the paths as written."""
    names: Names | None = None
    """Class names for class keys, such as codes."""
    class_names: Sequence[str] | None = None
    """The classes and their order, if they are known already, such as those of a fitted classifier."""
    labeled: bool | None = True
    """True: labels are required. False: labels are not read. None: the labels of a list are read if there are any."""
    pictured: bool = True
    """Whether image files must exist. False if features are given."""
    merge_case: bool = False
    """Whether labels that differ only in case ('Dog', 'dog') are one class. Otherwise they are an error."""

    @classmethod
    def of(cls, function: str, /, **keywords: Unpack[ReadKeywords]) -> "ReadOptions":
        """Return the options with the keyword arguments of a function.

        Raises
        ------
        TypeError
            A keyword is unknown. The message names the function and the most similar known keyword.
        """
        known = [field.name for field in fields(cls)]
        for name in keywords:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"Did you mean '{near[0]}'?" if near else f"Known are {', '.join(known)}."
                raise TypeError(f"{function}() got an unexpected keyword argument '{name}'. {hint}")
        return cls(**keywords)

    def with_(self, **changes: Any) -> "ReadOptions":
        """Return a copy with some fields changed."""
        return replace(self, **changes)
