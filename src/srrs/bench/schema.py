"""What the JSON form of a record must look like, version 1."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCHEMA = 1

Bools = NDArray[np.bool_]
Check = tuple[str, Callable[[Any], bool]]
"""What a value must be, in words and as a test."""


def pack(correct: Bools) -> str:
    """Bits (N,) as hex digits, eight to two of them."""
    return np.packbits(np.asarray(correct, bool)).tobytes().hex()


def unpack(text: str, count: int) -> Bools:
    """The first `count` bits of what `pack` made."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8), count=count).astype(bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -np.inf < value < np.inf


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _share(value: Any) -> bool:
    return _number(value) and 0 <= value <= 1


def _or_none(check: Check) -> Check:
    return f"{check[0]} or null", lambda value: value is None or check[1](value)


_TEXT: Check = ("a text", lambda value: isinstance(value, str) and bool(value))
_COUNT: Check = ("a whole number from 0", _whole)
_SHARE: Check = ("a number from 0 to 1", _share)
_POSITIVE: Check = ("a whole number from 1", lambda value: _whole(value) and value > 0)
_OBJECT: Check = ("an object", lambda value: isinstance(value, Mapping))
_CHECKS: dict[str, Check] = {
    "digest": ("8 or more hex digits", lambda v: isinstance(v, str) and bool(re.fullmatch("[0-9a-f]{8,}", v))),
    **dict.fromkeys(("dataset", "model", "method", "protocol", "noise_kind"), _TEXT),
    **dict.fromkeys(("classes", "samples", "test_samples"), _POSITIVE),
    **dict.fromkeys(("seed", "text_passes"), _COUNT),
    "needs": ("a list of texts", lambda value: isinstance(value, list) and all(map(_TEXT[1], value))),
    "as_published": ("true or false", lambda value: isinstance(value, bool)),
    "noise_rate": _or_none(_SHARE),
    "shots": _or_none(_POSITIVE),
    **dict.fromkeys(("accuracy", "macro_f1", "ece"), _SHARE),
    **dict.fromkeys(("noise_given", "noise_rectified", "zero_shot_auroc"), _or_none(_SHARE)),
    "correct": ("hex digits", lambda v: isinstance(v, str) and bool(re.fullmatch("([0-9a-f]{2})+", v))),
    "audit": (
        "an object of auroc, average_precision, precision and recall, each from 0 to 1 or null",
        lambda value: (
            isinstance(value, Mapping)
            and set(value) == {"auroc", "average_precision", "precision", "recall"}
            and all(score is None or _share(score) for score in value.values())
        ),
    ),
    "noise_estimate": _or_none(
        ("[rate, low, high] from 0 to 1", lambda v: isinstance(v, list) and len(v) == 3 and all(map(_share, v)))
    ),
    "seconds": ("a number from 0", lambda value: _number(value) and value >= 0),
    "versions": _OBJECT,
    "settings": _OBJECT,
}


def problem(content: Mapping[str, Any]) -> str | None:
    """What is wrong with the JSON form of a record, or None."""
    if missing := sorted(_CHECKS.keys() - content.keys()):
        return f"it lacks {', '.join(missing)}"
    if unknown := sorted(content.keys() - _CHECKS.keys() - {"schema"}):
        return f"it has {', '.join(unknown)}, which schema version {SCHEMA} does not know"
    for name, (wanted, check) in _CHECKS.items():
        if not check(content[name]):
            return f"{name} must be {wanted}, but is {content[name]!r:.80}"
    count, text = content["test_samples"], content["correct"]
    if len(text) != 2 * ((count + 7) // 8):
        return f"correct must hold one bit for each of {count} test photographs, but has {len(text)} hex digits"
    share = float(unpack(text, count).mean())
    if abs(share - content["accuracy"]) > 1e-3:
        return f"accuracy is {content['accuracy']}, but {share:.4f} of the bits of correct are set"
    return None
