"""The record of a finished run: a JSON object in the run's folder (`result.json`), or a line of a JSONL file."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from srrs.bench.schema import (
    READS,
    SCHEMA,
    Bits,
    Bools,
    Count,
    Digest,
    Ints,
    Numbers,
    Positive,
    Seconds,
    Share,
    Text,
    unpack,
    unpack_classes,
)
from srrs.config import sentence
from srrs.errors import DataError

RESULT, HISTORY, PARTITION, SAMPLES = "result.json", "history.jsonl", "partition.json", "samples.csv"
"""Names of the files in the folder of a run."""
RUN_FILES = {HISTORY, PARTITION, "settings.json"}
"""A folder with one of these files, but without a result, belongs to a run that has not finished."""
STRICT = ConfigDict(strict=True, extra="forbid")
"""Settings of pydantic: values must have exactly the declared type, and there are no other fields."""


@dataclass(frozen=True, config=STRICT)
class AuditScores:
    """Scores of the audit as a detector of wrong labels, from 0 to 1.

    A score that is undefined is None, such as the recall if no label was wrong.
    """

    auroc: Share | None = None
    """Area under the ROC curve of the label quality."""
    average_precision: Share | None = None
    """Average precision of the label quality."""
    precision: Share | None = None
    """Share of the flagged labels that are wrong."""
    recall: Share | None = None
    """Share of the wrong labels that are flagged."""


class TestClasses(NamedTuple):
    """Classes of the test images of a run, in the order of the test set."""

    predicted: Ints
    """(test_samples,) predicted classes."""
    truth: Ints
    """(test_samples,) true classes."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Record:
    """The result of one run. Raises ValueError for a value that is not allowed."""

    digest: Digest
    """Digest that identifies the run, with 8 or more hex digits."""
    code: str = ""
    """`code_digest` of the code that computed the run; '' in records of schema version 1."""
    dataset: Text
    """Name of the dataset."""
    classes: Positive
    """Number of classes."""
    model: Text
    """Name of the model, as in the settings."""
    method: Text
    """Name of the method, as in the settings."""
    needs: tuple[Text, ...] = ()
    """Facts about the data that the method requires: `noise rate`, `clean validation`."""
    protocol: Text
    """Name of the protocol, see `srrs.data.protocols`."""
    as_published: bool
    """Whether the labels were drawn with the faults of the published generator."""
    noise_kind: Text
    """`sym`, or `sym+tail:10` with a long tail."""
    noise_rate: Share | None
    """Rate of the added noise; None if the labels of people or of the web contain the noise."""
    shots: Positive | None
    """Images per class; None for all."""
    seed: Count
    """Seed of the draw and of the training."""
    samples: Positive
    """Number of training images."""
    accuracy: Share
    """Top-1 accuracy on the test images, from 0 to 1."""
    macro_f1: Share
    """Macro-F1 score on the test images, from 0 to 1."""
    ece: Share
    """Expected calibration error on the test images, from 0 to 1."""
    correct: Bits
    """Whether each test image is classified correctly, in the order of the test set: bits as hex digits, see
    `schema.pack`."""
    predicted: Numbers = ""
    """Predicted class of each test image, in the order of the test set, see `schema.pack_classes`; '' in records of
    schema versions 1 and 2."""
    truth: Numbers = ""
    """True class of each test image, in the same form."""
    test_samples: Positive
    """Number of test images."""
    audit: AuditScores
    """Scores of the audit of the training labels."""
    noise_given: Share | None
    """Share of wrong given labels; None if the true labels are unknown."""
    noise_rectified: Share | None
    """Share of wrong labels after the method has changed labels; None if the true labels are unknown."""
    noise_estimate: tuple[Share, Share, Share] | None
    """Estimated noise rate, and the lower and upper end of its range; None if the method estimates none."""
    zero_shot_auroc: Share | None
    """AUROC of the zero-shot probability of the given label, as a detector of wrong labels of the same samples."""
    seconds: Seconds
    """Duration of the run in seconds."""
    text_passes: Count
    """Number of passes through the text tower during training."""
    versions: dict[str, Any]
    """Versions of the packages that computed the run."""
    settings: dict[str, Any]
    """All settings of the run."""

    def __post_init__(self) -> None:
        digits = 2 * ((self.test_samples + 7) // 8)
        if len(self.correct) != digits:
            raise ValueError(
                f"correct must hold one bit for each of {self.test_samples} test images, but has "
                f"{len(self.correct)} hex digits"
            )
        share = float(self.right.mean())
        if abs(share - self.accuracy) > 1e-3:
            raise ValueError(f"accuracy is {self.accuracy}, but {share:.4f} of the bits of correct are set")
        if bool(self.predicted) != bool(self.truth):
            raise ValueError("predicted and truth must be given together")
        if (classes := self.test_classes) and not np.array_equal(classes.predicted == classes.truth, self.right):
            raise ValueError("correct must tell where predicted and truth are equal, but it does not")

    @property
    def right(self) -> Bools:
        """Return whether each test image is classified correctly: (test_samples,)."""
        return unpack(self.correct, self.test_samples)

    @property
    def test_classes(self) -> TestClasses | None:
        """Return the predicted and true classes of the test images; None if the record has none."""
        if not self.predicted or not self.truth:
            return None
        return TestClasses(*(unpack_classes(text, self.test_samples) for text in (self.predicted, self.truth)))

    @classmethod
    def from_json(cls, content: Any, where: str = "a record") -> "Record":
        """Return the record from the result of `to_json`.

        Parameters
        ----------
        content : a JSON value.
        where : source of the content, for the message of an error.

        Raises
        ------
        DataError
            The schema version cannot be read, or a value is missing or not allowed.
        """
        if not isinstance(content, Mapping) or "schema" not in content:
            raise DataError(
                f"Expected {where} to be the result of a run as srrs bench writes it, but it has no schema."
            )
        if content["schema"] not in READS:
            raise DataError(
                f"Expected {where} to have schema version {' or '.join(map(str, READS))}, but found "
                f"{content['schema']!r}. Read it with the version of srrs that wrote it, or run it again."
            )
        values = {name: value for name, value in content.items() if name != "schema"}
        try:
            return _RECORD.validate_json(json.dumps(values))  # in strict mode, only JSON's lists are accepted as tuples
        except ValidationError as error:
            raise DataError(f"Expected {where} to be the result of a run, but {sentence(error)}.") from None

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values, with the schema version first."""
        return {"schema": SCHEMA, **_RECORD.dump_python(self, mode="json")}


_RECORD = TypeAdapter(Record)


def to_jsonl(records: Iterable[Record]) -> str:
    """Return the records as JSONL, one line per record, in an order that does not depend on the order of `records`."""
    ordered = sorted(records, key=lambda r: (r.dataset, r.model, r.protocol, r.method, r.noise_kind, r.digest))
    return "".join(json.dumps(record.to_json(), allow_nan=False) + "\n" for record in ordered)


class Records(NamedTuple):
    """Records of runs, as they were read from files."""

    records: list[Record]
    """The records, in the order in which they were read."""
    notes: list[str]
    """Notes on skipped content, for the user."""
    folders: dict[str, Path]
    """Folder of each run whose record was read from a folder, by digest. Some figures need other files in it."""


def read_records(paths: Sequence[Path]) -> Records:
    """Read records from folders of runs, folders that contain such folders, `result.json` files and JSONL files.

    Truncated content and runs that have not finished are skipped with a note. If several records have the same digest,
    the first one is used. If a later one differs from the first in more than duration and versions, it is skipped with
    a note.

    Parameters
    ----------
    paths : the files and folders.

    Raises
    ------
    DataError
        A path does not exist or cannot be read, or a record is not valid or has an unknown schema version.
    """
    found: dict[str, Record] = {}
    folders: dict[str, Path] = {}
    notes: list[str] = []
    unfinished: list[Path] = []
    for path in paths:
        for file in _files(Path(path), unfinished):
            for record, where in _read(file, notes):
                first = found.setdefault(record.digest, record)
                if not _same(first, record):
                    notes.append(f"{where} contradicts an earlier record of the same run ({record.digest}): skipped")
                elif file.name == RESULT:
                    folders.setdefault(record.digest, file.parent)
    if unfinished:
        shown = ", ".join(str(folder) for folder in unfinished[:3]) + (", ..." if len(unfinished) > 3 else "")
        notes.append(f"runs that have not finished are skipped: {len(unfinished)} ({shown})")
    return Records(list(found.values()), notes, folders)


def _files(path: Path, unfinished: list[Path]) -> Iterator[Path]:
    """Yield the files of records at or below a path, in a fixed order, and add unfinished runs to `unfinished`."""
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise DataError(f"Expected a folder of runs or a JSONL file of records at {path}, but there is nothing.")
    for folder, below, names in os.walk(path):
        below.sort()
        if RESULT in names or RUN_FILES & set(names):
            below.clear()
        if RESULT in names:
            yield Path(folder) / RESULT
        elif RUN_FILES & set(names):
            unfinished.append(Path(folder))
        else:
            yield from (Path(folder) / name for name in sorted(names) if name.endswith(".jsonl"))


def _read(file: Path, notes: list[str]) -> Iterator[tuple[Record, str]]:
    """Yield the records of a file, each with its place in the file for messages. Add a note on truncated content."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"Expected records at {file}, but it cannot be read: {error.strerror}.") from None
    whole = file.suffix != ".jsonl"
    for number, text in enumerate([content] if whole else content.split(b"\n"), 1):
        where = str(file) if whole else f"{file}, line {number}"
        if not text.strip() and not whole:
            continue
        try:
            value = json.loads(text, parse_constant=_no_constant)
        except ValueError:
            notes.append(f"{where} is cut off or no JSON: skipped")
            continue
        yield Record.from_json(value, where), where


def _no_constant(name: str) -> None:
    """Raise ValueError for NaN and the infinities, which JSON does not allow."""
    raise ValueError(f"{name} is no number")


def _same(a: Record, b: Record) -> bool:
    """Return whether two records agree in everything but duration and versions."""
    return a is b or replace(a, seconds=0.0, versions={}) == replace(b, seconds=0.0, versions={})
