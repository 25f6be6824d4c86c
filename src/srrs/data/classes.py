"""Class keys, which are the labels as users write them, and class names, which a model encodes. C classes."""

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from srrs.data.options import Names
from srrs.data.spelling import plain_form
from srrs.data.tables import read_text
from srrs.errors import DataError

_CODE = re.compile(r"[a-z]?\d+|(class|label|category|id)[ _-]?\d+", re.IGNORECASE)
"""Form of class names that are codes."""


@dataclass(frozen=True)
class Classes:
    """C classes, in the order of their names unless the user gave another order."""

    keys: tuple[str, ...] = ()
    """(C,) class keys."""
    words: tuple[str, ...] = ()
    """(C,) class names."""
    own: tuple[str, ...] = ()
    """(C,) the user's own labels, if the option `names` gave other names for them; () without this option."""
    notes: tuple[str, ...] = ()
    """Sentences for the user."""


def looks_like_codes(class_names: Iterable[str]) -> list[str]:
    """Return the names that look like codes, such as n01443537, c01, 12 or class_3, not like words."""
    return [name for name in class_names if _CODE.fullmatch(name.strip())]


def read_names(source: Names) -> dict[str, str]:
    """Return the name of each class key, from a mapping or from a JSON, YAML, CSV, TSV or text file.

    A line of a text file is a key, a space and a name.

    Raises
    ------
    DataError
        The file is missing, malformed, or does not map keys to names.
    """
    if isinstance(source, Mapping):
        return {str(key): str(words) for key, words in source.items()}
    path = Path(source)
    text = read_text(path)
    wanted = f"Expected class keys and their words in {path} (JSON or YAML mapping, or CSV of code,words)"
    try:
        pairs = _pairs(path.suffix.lower(), text)
    except (ValueError, yaml.YAMLError) as error:
        raise DataError(f"{wanted}, but could not read it: {error}.") from None
    if not isinstance(pairs, dict) or not all(isinstance(words, str) for words in pairs.values()):
        raise DataError(f"{wanted}, but found something else. Write one text for each code.")
    return pairs


def _pairs(suffix: str, text: str) -> object:
    """Return the content of a file of names. Raises ValueError or YAMLError if it is malformed."""
    if suffix == ".json":
        return json.loads(text)
    if suffix in (".yaml", ".yml"):
        return yaml.load(text, yaml.BaseLoader)  # keeps `01` and `no` as written, and makes texts only
    separator = {".csv": ",", ".tsv": "\t"}.get(suffix)
    lines = [line.split(separator, 1) for line in re.split("[\r\n]+", text) if line.strip()]
    if short := next((line for line in lines if len(line) < 2), None):
        raise ValueError(f"the line '{short[0]}' has no words")
    return {key.strip(' "'): words.strip(' "') for key, words in lines}


def words_of(key: str) -> str:
    """Return the class name of a class key that has no other name: `hot_dog` -> `hot dog`."""
    return " ".join(key.replace("_", " ").split()) or key


def find_classes(present: set[str], names: Names | None, source: str) -> Classes:
    """Return the classes of the class keys `present`. `source` is the name of the source in messages.

    The classes are sorted by their names, so that a folder `hot_dog` and the label `hot dog` in a CSV file give the
    same order.

    Raises
    ------
    DataError
        There are fewer than two classes, two keys have the same name, or `names` contains none of the keys.
    """
    if len(present) < 2:
        found = f"only '{next(iter(present))}'" if present else "no labels at all"
        raise DataError(f"Expected at least two classes in {source}, but found {found}.")
    given = read_names(names) if names is not None else {}
    unknown = sorted(present - given.keys()) if names is not None else []
    if len(unknown) == len(present):
        raise DataError(
            f"Expected words for the classes {_some(sorted(present))} of {source}, but the names given are those of "
            f"{_some(sorted(given)) or 'nothing'}."
        )
    notes = (f"No words were given for {_some(unknown)}: kept as written.",) if unknown else ()
    pairs = sorted((" ".join(given[key].split()) if key in given else words_of(key), key) for key in present)
    _check_words(pairs, source)
    keys, words = tuple(key for _, key in pairs), tuple(words for words, _ in pairs)
    return Classes(keys, words, () if names is None else keys, notes)


def match_classes(
    present: set[str], class_names: Sequence[str], names: Names | None, source: str
) -> tuple[Classes, dict[str, int]]:
    """Return the classes in the order of `class_names`, and the position in this order of each class key in `present`.

    Raises
    ------
    DataError
        Two class names are equal, or a key belongs to none of the classes. The message names the most similar class.
    """
    words = [words_of(name) for name in class_names]
    _check_words(list(zip(words, class_names, strict=True)), "the class names")
    known = {plain_form(name).casefold(): at for at, name in enumerate(words)}
    given = read_names(names) if names is not None else {}
    index = {}
    for key in sorted(present):
        word = given.get(key, words_of(key))
        form = plain_form(word).casefold()
        if form not in known:
            near = difflib.get_close_matches(word, words, 1)
            raise DataError(
                f"Expected the classes {_some(words)} in {source}, but found '{key}'."
                + (f" Did you mean '{near[0]}'?" if near else "")
            )
        index[key] = known[form]
    keys = {plain_form(word).casefold(): key for key, word in given.items()}
    own = tuple(keys.get(plain_form(word).casefold(), word) for word in words)
    return Classes(tuple(class_names), tuple(words), own if given else ()), index


def _check_words(pairs: Sequence[tuple[str, str]], source: str) -> None:
    """Raise DataError if the name of a pair of name and key is empty, or two classes have the same name."""
    first: dict[str, str] = {}
    for words, key in pairs:
        if not words:
            raise DataError(f"Expected words for the class '{key}' of {source}, but they are empty.")
        other = first.setdefault(words.casefold(), key)
        if other != key or len(pairs) != len({key for _, key in pairs}):
            raise DataError(
                f"Expected different words for each class of {source}, but '{other}' and '{key}' are both '{words}'. "
                "Merge the two, or give them other words." + _about_case(other, key)
            )


def _about_case(one: str, other: str) -> str:
    """Return a hint for the error message if two keys differ only in case, else ''."""
    same = one != other and one.casefold() == other.casefold()
    return " To read labels that differ only in case as one class, give --merge-case (merge_case=True)." if same else ""


def _some(names: Sequence[str], most: int = 8) -> str:
    """Return the first names as a text, and the number of the others."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
