"""The format of audit.json, and its validation. The docstrings are the descriptions in docs/audit.schema.json."""

import json
import os
from collections import Counter
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,  # typing has no such TypedDict before Python 3.12
    cast,
)

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from pydantic_core import ErrorDetails
from typing_extensions import TypedDict

from srrs.errors import DataError
from srrs.io import read_bytes

SCHEMA_VERSION = 3
"""Version of the format. Version 1 has no flags. Versions 1 and 2 have `thresholds`, which do not name their score."""
RENAMED = {"neighbours_agree": "neighbors_agree"}
"""Columns that earlier releases spelled differently."""
Number = Annotated[float, Field(allow_inf_nan=False)]
"""A number, which must be finite."""
Status = Literal["noisy", "ambiguous", "clean", "outside", "unusable"]
"""Values of the column `status`."""


@with_config(ConfigDict(extra="allow", use_attribute_docstrings=True))
class SavedRow(TypedDict):
    """One image. Further keys are names of tuners, with the class that each tuner predicts."""

    id: str
    """Id, which is unique among the rows."""
    path: NotRequired[str | None]
    """Path of the image; null if the row is not a file."""
    given: NotRequired[str | None]
    """The given label; null if there was none."""
    status: Status
    quality: NotRequired[Number | None]
    """Score that ranks the given labels, from 0 (most likely wrong) to 1; null if the image could not be used."""
    p_clean: NotRequired[Number | None]
    """Probability that the given label is right."""
    suggested: NotRequired[str | None]
    """The class that the audit suggests."""
    suggested_confidence: NotRequired[Number | None]
    match: NotRequired[Number | None]
    """Score of the matcher for the image and the suggested class; null without a matcher."""
    zero_shot: NotRequired[str | None]
    """The class that the untuned model predicts."""
    neighbors_agree: NotRequired[Number | None]
    """Share of the nearest images that have the given label."""
    issue: NotRequired[str | None]
    """Reason why the image could not be used."""
    flags: NotRequired[str | None]
    """Further problems of the image, separated by '; '."""


class SavedNoise(TypedDict):
    """Estimated share of wrong labels, with a range; null if it is not known."""

    rate: Number | None
    low: Number | None
    high: Number | None


@with_config(ConfigDict(extra="allow", use_attribute_docstrings=True))
class SavedSummary(TypedDict):
    """Summary numbers of the audit, computed from the rows."""

    noise: SavedNoise


class SavedBands(TypedDict):
    """Bounds of the ambiguous band in a score: one pair, or one per class."""

    score: str
    lower: list[Number | None]
    upper: list[Number | None]


class SavedFinding(TypedDict):
    """A warning or a note of the audit."""

    level: Literal["info", "warning"]
    text: str


@with_config(ConfigDict(extra="allow", title="srrs audit", use_attribute_docstrings=True))
class SavedAudit(TypedDict):
    """An audit of image labels, as `srrs audit` writes it to audit.json."""

    schema_version: Literal[1, 2, 3]
    summary: SavedSummary
    settings: dict[str, Any]
    """Model, matcher, method, seed and versions of the run."""
    class_names: list[str]
    """All classes as the user's labels name them, each once."""
    class_words: NotRequired[list[str]]
    """Names of the classes that the model encoded, in the order of class_names; absent if they are class_names."""
    trusted: NotRequired[bool]
    """Whether the suggestions are reliable enough to apply them without a review; true if absent."""
    findings: NotRequired[list[SavedFinding]]
    bands: NotRequired[SavedBands | None]
    thresholds: NotRequired[list[Annotated[list[Number | None], Field(min_length=2, max_length=2)]]]
    """Bounds of the ambiguous band in versions 1 and 2."""
    rows: list[SavedRow]
    """One for each image, in the user's order."""


_ADAPTER: TypeAdapter[SavedAudit] = TypeAdapter(SavedAudit)


def read_saved(path: str | os.PathLike[str]) -> SavedAudit:
    """Return the content of audit.json after a check of its format.

    Raises
    ------
    DataError
        The file cannot be read, is not JSON or does not have the format. The message names the first error.
    """
    wanted = f"Expected an audit as srrs writes it (audit.json, schema version {SCHEMA_VERSION}) at {path}"
    try:
        content = json.loads(read_bytes(path), parse_constant=_no_constant)
    except OSError as error:
        raise DataError(f"{wanted}, but it cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{wanted}, but found no JSON: {error}.") from None
    try:
        # `json.loads`, because the parser of pydantic refuses file names whose bytes are not text.
        audit = _ADAPTER.validate_python(_with_new_names(content), strict=True)
    except ValidationError as error:
        raise DataError(
            f"{wanted}, but {_complaint(error.errors(include_url=False))}. Make it again with srrs audit."
        ) from None
    if problem := _contradiction(audit):
        raise DataError(f"{wanted}, but {problem}. Make it again with srrs audit.")
    return audit


def schema() -> dict[str, Any]:
    """Return the JSON Schema of audit.json."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_ADAPTER.json_schema()}


def _with_new_names(content: Any) -> Any:
    """Return the content with the present names of columns that earlier releases named differently."""
    rows = content.get("rows") if isinstance(content, dict) else None
    if not isinstance(rows, list):
        return content
    return content | {"rows": [_renamed(row) if isinstance(row, dict) else row for row in rows]}


def _renamed(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with the present names of its columns."""
    return {RENAMED.get(name, name): cell for name, cell in row.items()}


def _no_constant(name: str) -> None:
    """Raise ValueError for NaN and Infinity, which are not JSON."""
    raise ValueError(f"{name} is no number that JSON has")


def _complaint(errors: list[ErrorDetails]) -> str:
    """Return the first error of pydantic as a clause of a message."""
    missing = [str(error["loc"][0]) for error in errors if error["type"] == "missing" and len(error["loc"]) == 1]
    if missing and not any(error["loc"] == ("schema_version",) and error["type"] != "missing" for error in errors):
        return f"it lacks {', '.join(sorted(missing))}"
    error = next((error for error in errors if error["loc"] == ("schema_version",)), errors[0])
    place = list(error["loc"])
    if place[:1] == ["rows"] and len(place) > 1:
        place = [f"row {int(place[1]) + 1}", *place[2:]]
    where = ", ".join(map(str, place)) or "the file"
    if error["type"] == "missing":
        return f"it lacks {where}"
    found = error["input"]
    if place == ["schema_version"]:
        return f"found schema version {found!r:.40}"
    shown = f"{found!r:.60}" if isinstance(found, str | int | float | None) else f"a {type(found).__name__}"
    return f"{where} is {shown}: {error['msg'][0].lower()}{error['msg'][1:]}"


def _contradiction(audit: SavedAudit) -> str:
    """Return a contradiction that the format itself does not exclude, as text; '' if there is none."""
    names = set(audit["class_names"])
    if len(names) != len(audit["class_names"]):
        return "a class name stands twice in class_names"
    if len(audit.get("class_words", names)) != len(names):
        return "class_words has not one entry for each of class_names"
    ids = Counter(row["id"] for row in audit["rows"])
    if twice := next((id for id, times in ids.items() if times > 1), None):
        return f"the id {twice!r} stands in several rows"
    known = {*SavedRow.__annotations__}
    for number, row in enumerate(audit["rows"], 1):
        cells = cast(dict[str, Any], row)
        for column in ("given", "suggested", "zero_shot", *(cells.keys() - known)):
            cell = cells.get(column)
            if cell is not None and not (isinstance(cell, str) and cell in names):
                return f"row {number}, {column} is {cell!r:.60}, which is none of class_names"
    bands = audit.get("bands")
    if bands and len(bands["lower"]) != len(bands["upper"]):
        return "bands have lower and upper bounds of different number"
    return ""
