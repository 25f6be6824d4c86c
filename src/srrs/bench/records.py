"""The record of a finished run: a JSON object in the run's folder (`result.json`), or a line of a JSONL file."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from srrs.bench.schema import READS, SCHEMA, Bits, Bools, Count, Digest, Positive, Seconds, Share, Text, unpack
from srrs.config import sentence
from srrs.errors import DataError

RESULT, HISTORY, PARTITION, SAMPLES = "result.json", "history.jsonl", "partition.json", "samples.csv"
RUN_FILES = {HISTORY, PARTITION, "settings.json"}
"""A folder with one of these files, but without a result, belongs to a run that has not finished."""
STRICT = ConfigDict(strict=True, extra="forbid")


@dataclass(frozen=True, config=STRICT)
class AuditScores:
    """Scores of the audit as a detector of wrong labels, from 0 to 1; None if no label was wrong or flagged."""

    auroc: Share | None = None
    average_precision: Share | None = None
    precision: Share | None = None
    recall: Share | None = None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Record:
    """The result of one run. Shares, rates and scores range from 0 to 1.

    Raises ValueError for a value that is not allowed.
    """

    digest: Digest
    """Digest that identifies the run, with 8 or more hex digits."""
    code: str = ""
    """`code_digest` of the code that computed the run; '' in records of schema version 1."""
    dataset: Text
    classes: Positive
    model: Text
    method: Text
    needs: tuple[Text, ...] = ()
    """Facts about the data that the method requires: `noise rate`, `clean validation`."""
    protocol: Text
    as_published: bool
    noise_kind: Text
    """`sym`, or `sym+tail:10` with a long tail."""
    noise_rate: Share | None
    """Rate of the added noise; None if the labels of people or of the web contain the noise."""
    shots: Positive | None
    """Images per class; None for all."""
    seed: Count
    samples: Positive
    accuracy: Share
    macro_f1: Share
    ece: Share
    correct: Bits
    """Whether each test image is classified correctly, in the order of the test set: bits as hex, see `schema.pack`."""
    test_samples: Positive
    audit: AuditScores
    noise_given: Share | None
    """Share of wrong given labels; None if the true labels are unknown."""
    noise_rectified: Share | None
    noise_estimate: tuple[Share, Share, Share] | None
    """Estimated noise rate, and the lower and upper end of its range; None if the method estimates none."""
    zero_shot_auroc: Share | None
    """AUROC of the zero-shot probability of the given label, as a detector of wrong labels of the same samples."""
    seconds: Seconds
    text_passes: Count
    versions: dict[str, Any]
    settings: dict[str, Any]

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

    @property
    def right(self) -> Bools:
        """Return whether each test image is classified correctly: (test_samples,)."""
        return unpack(self.correct, self.test_samples)

    @classmethod
    def from_json(cls, content: Any, where: str = "a record") -> "Record":
        """Make a record from the result of `to_json`.

        Raises DataError for a schema version that cannot be read, and for missing or wrong values. `where` is the
        source of the content, for the message.
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
            return _RECORD.validate_json(json.dumps(values))  # JSON's lists are tuples
        except ValidationError as error:
            raise DataError(f"Expected {where} to be the result of a run, but {sentence(error)}.") from None

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values, with the schema version first."""
        return {"schema": SCHEMA, **_RECORD.dump_python(self, mode="json")}


_RECORD = TypeAdapter(Record)


def to_jsonl(records: Iterable[Record]) -> str:
    """Return the records as JSONL, one line per record, sorted. The order of `records` does not matter."""
    ordered = sorted(records, key=lambda r: (r.dataset, r.model, r.protocol, r.method, r.noise_kind, r.digest))
    return "".join(json.dumps(record.to_json(), allow_nan=False) + "\n" for record in ordered)


class Records(NamedTuple):
    """Records in the order in which they were read, notes about skipped files, and the folders of the runs."""

    records: list[Record]
    notes: list[str]
    folders: dict[str, Path]
    """Folder of each run whose record was read from a folder, by digest. Some figures need other files in it."""


def read_records(paths: Sequence[Path]) -> Records:
    """Read records from folders of runs, folders that contain such folders, `result.json` files and JSONL files.

    Truncated content is skipped with a note. If several records have the same digest, the first one is used. If they
    differ in more than time and versions, a note says so. Raises DataError if a path does not exist, and for records of
    an unknown schema version.
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
    """Return the files of records at or below a path, in a fixed order; adds unfinished runs to `unfinished`."""
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
    """Yield the records of a file, each with its place."""
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
    raise ValueError(f"{name} is no number")


def _same(a: Record, b: Record) -> bool:
    """Return whether two records agree in everything but time and versions."""
    return a is b or replace(a, seconds=0.0, versions={}) == replace(b, seconds=0.0, versions={})
