"""The audit as tasks that Label Studio imports. The prediction of each task is the suggested class."""

import json
import os
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from srrs.audit.table import Audit
from srrs.errors import DataError
from srrs.export.pictures import picture_files
from srrs.io import write_atomic

SHOWN = (
    *("id", "given", "status", "quality", "p_clean", "match"),
    *("suggested", "suggested_confidence", "issue", "flags"),
)
"""Columns of the audit that are in the data of a task."""
SERVED = "/data/local-files/?d="
"""Start of the URLs of local files in Label Studio. After it comes the path relative to Label Studio's document
root."""
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""A character that XML does not allow."""


def write_label_studio(
    audit: Audit,
    folder: str | os.PathLike[str],
    root: str | os.PathLike[str] | None = None,
    served: str | os.PathLike[str] = "/",
) -> Path:
    """Write `tasks.json`, one task per row in the user's order, and `label_config.xml`, and return the folder.

    `label_config.xml` contains the classes from which a user of Label Studio chooses. The URLs of the images are those
    under which Label Studio serves local files. A row without a suggestion has no prediction. In the choices, U+FFFD
    replaces characters that XML does not allow.

    Parameters
    ----------
    audit : the audit.
    folder : the folder to write.
    root : folder to which relative paths refer; by default the working directory.
    served : value of Label Studio's setting LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT, a folder that contains the images.

    Raises
    ------
    DataError
        A row has no file, an image is outside `served`, two classes would result in the same choice, or the folder
        cannot be written.
    """
    folder = Path(folder)
    choices = _choices(audit.class_names)
    urls = [_url(file, Path(os.path.abspath(served))) for file in picture_files(audit, root)]
    rows = audit.table.astype(object).where(audit.table.notna(), None).to_dict("records")
    tasks = [_task(row, url, choices) for row, url in zip(rows, urls, strict=True)]
    write_atomic(folder / "label_config.xml", _config(list(choices.values())))
    write_atomic(folder / "tasks.json", json.dumps(tasks, indent=1, allow_nan=False).encode())
    return folder


def _task(row: dict[Any, Any], url: str, choices: dict[str, str]) -> dict[str, Any]:
    """Return the task of a row. `choices` maps class names to the choices."""
    data = {"image": url, **{name: row[name] for name in SHOWN}, "given": row["given"] or ""}
    if row["suggested"] is None:
        return {"data": data, "predictions": []}
    value = {"choices": [choices[row["suggested"]]]}
    result = {"from_name": "label", "to_name": "image", "type": "choices", "value": value}
    made = {"model_version": f"srrs {version('srrs')}", "score": row["suggested_confidence"], "result": [result]}
    return {"data": data, "predictions": [made]}


def _url(file: Path, served: Path) -> str:
    """Return the URL of an image. Raises DataError if the image is outside `served`."""
    if not file.is_relative_to(served):
        raise DataError(f"Expected images below {served}, which Label Studio serves, but found {file}.")
    return SERVED + quote(os.fsencode(file.relative_to(served).as_posix()))


def _choices(class_names: Sequence[str]) -> dict[str, str]:
    """Return the choice for each class: its name without characters that XML does not allow.

    Raises DataError if two classes have the same choice.
    """
    choices = {name: _NO_XML.sub("\ufffd", name) for name in class_names}
    if len(set(choices.values())) < len(choices):
        raise DataError("Expected classes that differ by more than control characters, which Label Studio cannot show.")
    return choices


def _config(choices: Sequence[str]) -> bytes:
    """Return the labeling configuration as XML."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name="image", value="$image")
    ElementTree.SubElement(view, "Header", value="Given label")
    ElementTree.SubElement(view, "Text", name="given", value="$given")
    box = ElementTree.SubElement(view, "Choices", name="label", toName="image", choice="single")
    for choice in choices:
        ElementTree.SubElement(box, "Choice", value=choice)
    ElementTree.indent(view)
    return bytes(ElementTree.tostring(view, encoding="utf-8"))
