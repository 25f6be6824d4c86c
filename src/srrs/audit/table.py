"""The audit: a table with one row per row of the user, in the user's order, and with class names instead of numbers.

N usable samples, C classes, D feature size. The summary, CSV, JSON and the review page are all made from this table.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from srrs.audit.flags import joined
from srrs.audit.rows import AFTER, BEFORE, NUMBERS, Bands, Rows, frame_of, spelled_out, table_of
from srrs.audit.saved import SCHEMA_VERSION, SavedBands, SavedRow, read_saved
from srrs.audit.summary import Summary, finite
from srrs.audit.watch import watch
from srrs.data.tables import csv_pieces
from srrs.io import write_atomic
from srrs.records import Finding, Floats, Ints, NoiseEstimate, Round

__all__ = ["AFTER", "BEFORE", "NUMBERS", "SCHEMA_VERSION", "Audit", "Bands", "Finding", "Rows"]


@dataclass(frozen=True, eq=False)
class Audit:
    """The result of an audit: which labels are probably wrong, and the suggested label of each image.

    `Audit.of` makes an audit, and `Audit.from_json` reads one.
    """

    table: pd.DataFrame = field(repr=False)
    """One row per image. Missing texts are None, and missing numbers are NaN. The columns are those of `BEFORE`, one
    column of predicted classes for each tuner (with the name of the tuner), and those of `AFTER`."""
    class_names: tuple[str, ...]
    noise: NoiseEstimate
    bands: Bands | None
    """The bounds of the ambiguous band, if the statuses follow from one score; else None."""
    settings: dict[str, Any]
    """Model, matcher, method, seed, views and versions, as JSON."""
    findings: tuple[Finding, ...] = ()
    """Warnings and notes: which sources of evidence agree, which of them decided, and what to do."""
    trusted: bool = True
    """Whether the suggestions are reliable enough to apply them without a review."""
    words: tuple[str, ...] = ()
    """(C,) names of the classes that the model encoded; () if these are `class_names`."""
    round: Round | None = field(default=None, repr=False)
    """The round of screening from which the table was made; None for an audit that was read from a file."""
    at: Ints | None = field(default=None, repr=False)
    """(N,) the row of each sample of the round."""
    features: Floats | None = field(default=None, repr=False)
    """(N, D) unit-length features of the samples of the round."""

    @classmethod
    def of(
        cls,
        rows: Rows,
        at: Ints,
        round: Round,
        settings: dict[str, Any],
        *,
        predicted: Mapping[str, Ints] | None = None,
        features: Floats | None = None,
        neighbors: Ints | None = None,
        flags: Mapping[str, str | None] | None = None,
    ) -> "Audit":
        """Return the audit of the user's rows by the last round.

        Parameters
        ----------
        rows : all rows of the user, usable or not.
        at : (N,) the user's row of each sample of the round.
        round : the last round, with N usable samples.
        settings : model, matcher, method, seed and so on, as JSON.
        predicted : predicted classes (N,) of the untuned model (`zero_shot`) and of each tuner, by name.
        features : (N, D) of unit length, from which the column `neighbors_agree` is computed. For very many samples,
            the column stays empty without `neighbors`, because all pairs would have to be compared.
        neighbors : (N, k) the nearest samples of each sample, best first; -1 for none.
        flags : cells of the column `flags`, by id.

        Raises
        ------
        ValueError
            The round and the rows do not belong together.
        """
        table = table_of(rows, at, round, predicted or {}, features, neighbors, flags or {})
        partition = round.partition
        findings = (*partition.findings, *watch(round, predicted or {}))
        return cls(
            table, rows.class_names, round.noise, Bands.of(partition.thresholds), settings,
            findings=tuple(spelled_out(one, rows.class_names) for one in findings), trusted=partition.trusted,
            words=rows.words, round=round, at=at, features=features,
        )  # fmt: skip

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> "Audit":
        """Read a file that `to_json` wrote. Raises DataError if the file is damaged or not an audit."""
        content = read_saved(path)
        rows, noise = content["rows"], content["summary"]["noise"]
        return cls(
            table=frame_of({name: [row.get(name) for row in rows] for name in _columns(rows)}),
            class_names=tuple(content["class_names"]),
            noise=NoiseEstimate(*(_number(value) for value in (noise["rate"], noise["low"], noise["high"]))),
            bands=_bands(content.get("bands")),
            settings=content["settings"],
            findings=tuple(Finding(finding["level"], finding["text"]) for finding in content.get("findings", ())),
            trusted=content.get("trusted", True),
            words=tuple(content.get("class_words") or ()),
        )

    def __len__(self) -> int:
        return len(self.table)

    @property
    def tuned(self) -> tuple[str, ...]:
        """Return the names of the columns of tuned predictions."""
        return tuple(str(name) for name in self.table if name not in (*BEFORE, *AFTER))

    def to_pandas(self) -> pd.DataFrame:
        """Return a copy of the table, in the user's row order."""
        return self.table.copy()

    def with_flags(self, words: Mapping[str, Sequence[str]]) -> "Audit":
        """Return a copy of the audit with further flags in the column `flags`. `words` maps ids to flags."""
        of = zip(self.table.id, self.table["flags"], strict=True)
        cells = [joined(cell, words.get(id, ())) for id, cell in of]
        return replace(self, table=self.table.assign(flags=pd.Series(cells, self.table.index, dtype=object)))

    def with_notes(self, notes: Iterable[str]) -> "Audit":
        """Return a copy of the audit with further notes in the findings, such as notes about the input files."""
        known = {finding.text for finding in self.findings}
        more = tuple(Finding("info", note) for note in dict.fromkeys(notes) if note not in known)
        return replace(self, findings=(*self.findings, *more))

    def with_warnings(self, texts: Iterable[str]) -> "Audit":
        """Return a copy of the audit with further warnings in the findings."""
        return replace(self, findings=(*self.findings, *(Finding("warning", text) for text in texts)))

    def summary(self) -> Summary:
        """Return the summary numbers of the audit."""
        return Summary.of(self.table, self.class_names, self.noise)

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write the table as CSV and return the path. Raises DataError if the path cannot be written.

        A text that a spreadsheet would treat as a formula gets a quote ' in front.
        """
        return write_atomic(path, csv_pieces(self.table))

    def to_json(self, path: str | os.PathLike[str]) -> Path:
        """Write the whole audit as JSON and return the path. Raises DataError if the path cannot be written."""
        content = {
            "schema_version": SCHEMA_VERSION,
            "summary": self.summary().to_dict(),
            "settings": self.settings,
            "class_names": list(self.class_names),
            **({"class_words": list(self.words)} if self.words else {}),
            "trusted": self.trusted,
            "findings": [{"level": one.level, "text": one.text} for one in self.findings],
            "bands": self.bands
            and {
                "score": self.bands.score,
                "lower": [finite(v) for v in self.bands.lower],
                "upper": [finite(v) for v in self.bands.upper],
            },
        }
        head = json.dumps(content, indent=1, allow_nan=False).removesuffix("\n}")
        return write_atomic(path, _joined(head, _lines(self.table)))

    def report(
        self,
        path: str | os.PathLike[str],
        *,
        title: str = "Label audit",
        thumbnail: Callable[[int], bytes | None] | None = None,
        root: str | os.PathLike[str] | None = None,
        photos: int = 500,
        rows: int = 5000,
        first: Ints | None = None,
    ) -> Path:
        """Write the review page, which opens offline, and return its path.

        The page has at most eight megabytes. It contains previews of as many images as fit, and shows the other images
        from their files, by relative links. Raises DataError if the path cannot be written.

        Parameters
        ----------
        path : file to write.
        title : heading of the page.
        thumbnail : function that returns the JPEG of a row of the table, or None if the row has no image. By default
            the images are read from the paths of the table.
        root : folder to which relative paths refer; by default the working directory.
        photos : largest number of previews.
        rows : number of images that the page lists, those with the lowest quality.
        first : rows of the table to list before all others, such as those of `srrs.audit.priority.review_order`.
        """
        from srrs.audit.report import write_report

        return write_report(
            self, path, title=title, thumbnail=thumbnail, root=root, photos=photos, rows=rows, first=first
        )


def _columns(rows: Sequence[SavedRow]) -> list[str]:
    """Return the columns of saved rows: the columns of every audit, with the columns of the tuners between them."""
    found = dict.fromkeys(name for row in rows for name in row)
    return [*BEFORE, *(name for name in found if name not in (*BEFORE, *AFTER)), *AFTER]


def _bands(bands: SavedBands | None) -> Bands | None:
    """Return the bounds of the ambiguous band as in version 3; None for None."""
    if bands is None:
        return None
    lower, upper = (tuple(map(_number, values)) for values in (bands["lower"], bands["upper"]))
    return Bands(bands["score"], lower, upper)


def _lines(table: pd.DataFrame) -> Iterator[str]:
    """Yield each row as JSON. Rows are converted in parts: the dictionaries of a million rows would take gigabytes."""
    names, encode = list(table), json.JSONEncoder(allow_nan=False).encode
    for start in range(0, len(table), 10_000):
        part = table.iloc[start : start + 10_000].astype(object)
        columns = [part[name].where(part[name].notna(), None).tolist() for name in names]
        for row in zip(*columns, strict=True):
            yield encode(dict(zip(names, row, strict=True)))


def _joined(head: str, lines: Iterator[str]) -> Iterator[bytes]:
    """Yield the file in pieces: the part before the rows (`head`), and the rows."""
    yield f'{head},\n "rows": [\n  '.encode()
    between = ""
    for line in lines:
        yield (between + line).encode()
        between = ",\n  "
    yield b"\n ]\n}"


def _number(value: float | None) -> float:
    """Return the value, or NaN for None."""
    return float("nan") if value is None else float(value)
