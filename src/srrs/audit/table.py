"""The audit: one row per image of the user's, in the user's order, with class names and never bare numbers.

N usable samples, C classes. What is shown is what is saved: summary, CSV, JSON and page all read the one table.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from srrs.audit.flags import joined
from srrs.audit.summary import Summary, finite
from srrs.core.blocks import is_large
from srrs.errors import DataError
from srrs.io import write_atomic
from srrs.records import Finding, Floats, Group, Ints, NoiseEstimate, Round, Thresholds

SCHEMA_VERSION = 3
READABLE = (1, 2, 3)
"""Schema versions that can be read. Version 1 has no flags; 1 and 2 have bands without the name of their score."""
NUMBERS = ("quality", "p_clean", "suggested_confidence", "match", "neighbours_agree")
BEFORE = (
    *("id", "path", "given", "status", "quality", "p_clean"),
    *("suggested", "suggested_confidence", "match", "zero_shot"),
)
"""Columns before those of the tuned predictions, which carry the names of their tuners."""
AFTER = ("neighbours_agree", "issue", "flags")
NEIGHBOURS = 10


@dataclass(frozen=True)
class Rows:
    """The user's rows as they were read: all of them, usable or not, in the user's order."""

    ids: tuple[str, ...]
    paths: tuple[str | None, ...]
    """None where a row is no file."""
    given: Ints
    """Index of the given class, -1 for none."""
    class_names: tuple[str, ...]
    issues: tuple[str | None, ...]
    """What is wrong with the row, in words; None or empty where nothing is."""

    def __post_init__(self) -> None:
        sizes = {"ids": len(self.ids), "paths": len(self.paths), "given": len(self.given), "issues": len(self.issues)}
        if len(set(sizes.values())) != 1:
            raise ValueError(f"ids, paths, given and issues must be of one length, but have {sizes}")
        if len(set(self.ids)) != len(self.ids):
            raise ValueError("ids must be unique")
        if len(set(self.class_names)) != len(self.class_names):
            raise ValueError("class_names must be unique")
        if len(self.given) and (self.given.min() < -1 or self.given.max() >= len(self.class_names)):
            raise ValueError(f"given must lie in -1..{len(self.class_names) - 1}")


@dataclass(frozen=True)
class Bands:
    """The bounds of the ambiguous band in a score: one pair, or one per class."""

    score: str
    """Name of the score, such as `loss` or `p_clean`."""
    lower: tuple[float, ...]
    upper: tuple[float, ...]

    @classmethod
    def of(cls, thresholds: Thresholds | None) -> "Bands | None":
        """The bounds of screening's thresholds."""
        if thresholds is None:
            return None
        return cls(thresholds.score, tuple(thresholds.lower.tolist()), tuple(thresholds.upper.tolist()))


@dataclass(frozen=True, eq=False)
class Audit:
    """Which labels are wrong, and what each should be. Made by `Audit.of`, or read back by `Audit.from_json`."""

    table: pd.DataFrame = field(repr=False)
    """One row per image; text is None and numbers are NaN where there is nothing to say. Its columns are `BEFORE`, one
    of predicted classes for each tuner by its name, and `AFTER`."""
    class_names: tuple[str, ...]
    noise: NoiseEstimate
    bands: Bands | None
    """Where the ambiguous band lies, if the statuses follow from one score."""
    settings: dict[str, Any]
    """Model, matcher, method, seed, views and versions, as JSON."""
    findings: tuple[Finding, ...] = ()
    """What the audit says of itself: which sources of evidence agree, which one decided, and what to do."""
    trusted: bool = True
    """Whether the audit trusts its own suggestions enough to apply them unreviewed."""
    round: Round | None = field(default=None, repr=False)
    """The round the table was made from; None for an audit read from a file."""
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
        flags: Mapping[str, str | None] | None = None,
    ) -> "Audit":
        """Join the last round with the user's rows.

        Parameters
        ----------
        at : (N,) the user's row of each sample of the round.
        settings : model, matcher, method, seed and so on, as JSON.
        predicted : the class (N,) that the untuned model (`zero_shot`) and each tuner predict, by name.
        features : (N, D) for the share of each sample's nearest samples that carry its label. It is left out for very
            many samples, because all would be compared with all.
        flags : cells of the column `flags`, by id.

        Raises
        ------
        ValueError
            Round and rows do not belong together.
        """
        _check_places(rows, at, round)
        table = _table(rows, at, round, predicted or {}, _neighbours_agree(round, features), flags or {})
        partition = round.partition
        return cls(
            table, rows.class_names, round.noise, Bands.of(partition.thresholds), settings,
            findings=partition.findings, trusted=partition.trusted,
            round=round, at=at, features=features,
        )  # fmt: skip

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> "Audit":
        """Read what `to_json` wrote. Raises DataError where the file is something else."""
        content = _read(Path(path))
        return cls(
            table=_frame({name: [row.get(name) for row in content["rows"]] for name in _columns(content["rows"])}),
            class_names=tuple(content["class_names"]),
            noise=NoiseEstimate(**{k: _number(v) for k, v in content["summary"]["noise"].items()}),
            bands=_bands(content),
            settings=content["settings"],
            findings=tuple(_finding(one, content["class_names"]) for one in content.get("findings", ())),
            trusted=bool(content.get("trusted", True)),
        )

    def __len__(self) -> int:
        return len(self.table)

    @property
    def tuned(self) -> tuple[str, ...]:
        """Names of the columns of tuned predictions."""
        return tuple(str(name) for name in self.table if name not in (*BEFORE, *AFTER))

    def to_pandas(self) -> pd.DataFrame:
        """A copy of the table, in the user's row order."""
        return self.table.copy()

    def with_flags(self, words: Mapping[str, Sequence[str]]) -> "Audit":
        """The same with these words in the column `flags` of each row, by id, behind what stands there already."""
        of = zip(self.table.id, self.table["flags"], strict=True)
        cells = [joined(cell, words.get(id, ())) for id, cell in of]
        return replace(self, table=self.table.assign(flags=pd.Series(cells, self.table.index, dtype=object)))

    def summary(self) -> Summary:
        """The audit in a few figures."""
        return Summary.of(self.table, self.class_names, self.noise)

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write the table as CSV; raises DataError where the path cannot be written."""
        text = self.table.to_csv(index=False, float_format="%.9g", lineterminator="\n")
        return write_atomic(path, text.encode("utf-8", "backslashreplace"))

    def to_json(self, path: str | os.PathLike[str]) -> Path:
        """Write the whole audit as JSON; raises DataError where the path cannot be written."""
        content = {
            "schema_version": SCHEMA_VERSION,
            "summary": self.summary().to_dict(),
            "settings": self.settings,
            "class_names": list(self.class_names),
            "trusted": self.trusted,
            "findings": [
                {"level": one.level, "text": one.text, "classes": [self.class_names[at] for at in one.classes]}
                for one in self.findings
            ],
            "bands": self.bands
            and {
                "score": self.bands.score,
                "lower": [finite(v) for v in self.bands.lower],
                "upper": [finite(v) for v in self.bands.upper],
            },
        }
        head = json.dumps(content, indent=1, allow_nan=False).removesuffix("\n}")
        rows = ",\n  ".join(_lines(self.table))
        return write_atomic(path, f'{head},\n "rows": [\n  {rows}\n ]\n}}'.encode())

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
        """Write the audit as one page that opens offline.

        `thumbnail` gives the JPEG of a row of the table, or None where there is no picture; without it, pictures are
        read from the table's paths, relative ones below `root`. The page lists the `rows` images of lowest quality,
        the `photos` lowest of them with their picture, at most 192 px, and says so. `first` names rows of the table
        that come before all others, as `srrs.audit.priority.review_order` finds them.
        """
        from srrs.audit.report import photo_reader, render

        thumbnail = thumbnail or photo_reader(self, root)
        page = render(self, title=title, thumbnail=thumbnail, photos=photos, rows=rows, first=first)
        return write_atomic(path, page.encode("utf-8", "backslashreplace"))


def _table(
    rows: Rows,
    at: Ints,
    round: Round,
    predicted: Mapping[str, Ints],
    neighbours_agree: Floats,
    flags: Mapping[str, str | None],
) -> pd.DataFrame:
    targets = round.targets
    of_class = np.array([*rows.class_names, None], dtype=object)  # index -1 is None
    best = targets.hard

    def spread(values: Any) -> list[Any]:
        column = np.full(len(rows.ids), None, dtype=object)
        column[at] = np.asarray(values)
        return column.tolist()

    issues = [issue or None for issue in rows.issues]
    usable = np.zeros(len(rows.ids), dtype=bool)
    usable[at] = True
    for i in np.flatnonzero(~usable):
        issues[i] = issues[i] or ("has no label" if rows.given[i] < 0 else "was not audited")
    names = np.array([group.name.lower() for group in Group], dtype=object)
    nothing = [None] * len(rows.ids)
    words = {name: spread(of_class[classes]) for name, classes in predicted.items()}
    return _frame(
        {
            "id": rows.ids,
            "path": rows.paths,
            "given": of_class[rows.given],
            "status": [status or "unusable" for status in spread(names[round.partition.group])],
            "quality": spread(round.quality),
            "p_clean": spread(round.partition.p_clean),
            "suggested": spread(of_class[best]),
            "suggested_confidence": spread(targets.soft[np.arange(len(at)), best]),
            "match": spread(round.matched.score),
            "zero_shot": words.pop("zero_shot", nothing),
            **words,
            "neighbours_agree": spread(neighbours_agree),
            "issue": issues,
            "flags": [flags.get(id) or None for id in rows.ids],
        }
    )


def _frame(columns: Mapping[str, Iterable[Any]]) -> pd.DataFrame:
    """A table whose text stays plain Python text, whatever it is called (`nan`, `NA`), in every version of pandas."""
    kinds = {name: np.float64 if name in NUMBERS else object for name in columns}
    return pd.DataFrame({name: pd.Series(list(columns[name]), dtype=kind) for name, kind in kinds.items()})


def _finding(one: Mapping[str, Any], class_names: Sequence[str]) -> Finding:
    return Finding(one["level"], str(one["text"]), tuple(class_names.index(name) for name in one.get("classes", ())))


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The columns of saved rows: those of every audit, and those of the tuners between them."""
    found = rows[0].keys() if rows else ()
    return [*BEFORE, *(name for name in found if name not in (*BEFORE, *AFTER)), *AFTER]


def _bands(content: Mapping[str, Any]) -> Bands | None:
    """Bands as version 3 writes them; older versions did not name the score."""
    bands = content.get("bands")
    if bands is None:
        return None
    lower, upper = (tuple(_number(value) for value in bands[name]) for name in ("lower", "upper"))
    return Bands(str(bands["score"]), lower, upper)


def _lines(table: pd.DataFrame) -> Iterator[str]:
    """Each row as JSON; some at a time, as the dictionaries of a million rows fill gigabytes."""
    names, encode = list(table), json.JSONEncoder(allow_nan=False).encode
    for start in range(0, len(table), 10_000):
        part = table.iloc[start : start + 10_000].astype(object)
        columns = [part[name].where(part[name].notna(), None).tolist() for name in names]
        for row in zip(*columns, strict=True):
            yield encode(dict(zip(names, row, strict=True)))


def _check_places(rows: Rows, at: Ints, round: Round) -> None:
    if len(at) != len(round.quality) or len(np.unique(at)) != len(at) or (len(at) and at.max() >= len(rows.ids)):
        raise ValueError("each sample of the round must be one row of the user's, once")
    if round.targets.soft.shape[1] != len(rows.class_names):
        raise ValueError(f"the round knows {round.targets.soft.shape[1]} classes, not {len(rows.class_names)}")


def _neighbours_agree(round: Round, features: Floats | None) -> Floats:
    from srrs.core.neighbors import label_agreement

    labels = round.evidence.labels
    agreement = np.full(len(labels), np.nan)
    if features is None or is_large(len(labels)):
        return agreement
    order = np.argsort(round.evidence.keys)  # by content, so that ties do not depend on the order of rows
    sizes = np.unique(labels, return_counts=True)[1]
    k = min(NEIGHBOURS, int(np.median(sizes)) - 1) if len(sizes) else 0
    if k > 0:
        agreement[order] = label_agreement(np.asarray(features)[order], labels[order], k)
    return agreement


def _read(path: Path) -> dict[str, Any]:
    """A checked audit.json."""
    wanted = f"expected an audit as srrs writes it (audit.json, schema version {SCHEMA_VERSION}) at {path}"
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{wanted}, but it cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{wanted}, but found no JSON: {error}") from error
    found = content.get("schema_version") if isinstance(content, dict) else None
    if found not in READABLE:
        raise DataError(f"{wanted}, but found schema version {found}. Make it again with this version of srrs.")
    missing = {"summary", "settings", "class_names", "rows"} - set(content)
    if missing:
        raise DataError(f"{wanted}, but it lacks {', '.join(sorted(missing))}. Make it again with srrs audit.")
    return dict(content)


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
