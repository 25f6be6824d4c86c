"""Functions that read descriptions of classes for the described prompts, and reduce each description to a clause."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from srrs.errors import DataError
from srrs.io import read_bytes

LEAD = re.compile(
    r"(?:an? (?:\w+ )?photo of .*?)?(?:which|that|it) (?:typically |usually |often )?(?:has|have)\b[ :]*",
    re.IGNORECASE,
)
"""The introduction of a description, up to `has`."""
ADJECTIVES = {"and", "or", "the", "its", "of", "with", "distinctive", "unique", "notable", "key", "facial", "many"}
"""Words after which a final `features` is a part of the description, see `tidy`."""

Descriptions = Mapping[str, str]
"""Mapping from class names to clauses, without `which has` at the start and without a full stop at the end."""


@dataclass(frozen=True)
class Matched:
    """The descriptions of C classes."""

    clauses: tuple[str | None, ...]
    """(C,) the clause of each class; None for a class without a description."""
    missing: tuple[str, ...]
    """Names of the classes without a description."""

    def note(self) -> str | None:
        """Return a sentence with the classes that have no description; None if all classes have one."""
        if not self.missing:
            return None
        names = ", ".join(self.missing[:5]) + (", …" if len(self.missing) > 5 else "")
        return (
            f"No description for {len(self.missing)} of {len(self.clauses)} classes ({names}): "
            "their described prompt is the plain one."
        )


def load_descriptions(path: str | Path) -> dict[str, str]:
    """Return the clauses in a JSON file that maps class names to descriptions.

    A description is a clause, a sentence, or a list of short descriptors. A sentence of the published form (`A photo of
    a hen, which has a red comb features.`) becomes the clause `a red comb`. A list, as language models return it
    (`["two legs", "a red comb"]`), becomes the clause `two legs and a red comb`.

    Raises
    ------
    DataError
        The file cannot be read, or does not contain descriptions.
    """
    try:
        table = json.loads(read_bytes(path))
    except OSError as error:
        raise DataError(f"The descriptions {str(path)!r} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"The descriptions {str(path)!r} are not JSON: {error}.") from error
    if not isinstance(table, dict):
        raise DataError(f"Expected {{class name: description}} in {str(path)!r}, but found a {type(table).__name__}.")
    return {name: _clause(value, name, str(path)) for name, value in table.items()}


def bundled_descriptions() -> dict[str, str]:
    """Return the clauses of the descriptions in this package; empty if there are none."""
    path = Path(str(files("srrs"))) / "assets" / "descriptions.json"
    return load_descriptions(path) if path.is_file() else {}


def match_descriptions(class_names: Sequence[str], descriptions: Descriptions) -> Matched:
    """Return the description of each class, found by its name. Case, underscores, hyphens and spaces do not matter."""
    by_key = {_key(name): clause for name, clause in descriptions.items() if clause}
    clauses = tuple(by_key.get(_key(name)) for name in class_names)
    return Matched(clauses, tuple(n for n, c in zip(class_names, clauses, strict=True) if c is None))


def _key(name: str) -> str:
    """Return the form of a class name in which names are compared."""
    return " ".join(re.split(r"[\s_\-]+", name.casefold().strip()))


def _clause(value: object, name: str, path: str) -> str:
    """Return the clause of a class in a JSON file. Raises DataError for a value that is no description."""
    if isinstance(value, str):
        return tidy(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        items = [clause for clause in map(tidy, value) if clause]
        return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
    raise DataError(f"Expected text or a list of texts for class {name!r} in {path!r}, but found {value!r}.")


def tidy(text: str) -> str:
    """Return the clause of a description, without its introduction, a final `features`, and the full stop.

    `features` is removed only at the end of the published form (`…, which has a red comb features.`). After one of
    `ADJECTIVES`, as in `distinctive features`, it is a part of the description.
    """
    text = " ".join(text.split())
    lead = LEAD.match(text)
    clause = text[lead.end() :] if lead else text
    words = clause.strip().rstrip(".;,").split()
    if lead and len(words) > 2 and words[-1].lower() in ("feature", "features") and words[-2].lower() not in ADJECTIVES:
        words.pop()
    return " ".join(words).rstrip(".;,")
