"""Functions that merge labels with different spellings: Unicode forms, invisible characters and, on request, case."""

import unicodedata
from collections import Counter
from collections.abc import Sequence

_INVISIBLE = dict.fromkeys(
    map(ord, "\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff")
)
"""Soft hyphen, zero-width characters and direction marks. A joiner inside an emoji is removed, too, but only for the
comparison of labels."""


def plain_form(label: str) -> str:
    """Return a label in Unicode form NFKC, without invisible characters and additional spaces, for comparison."""
    return " ".join(unicodedata.normalize("NFKC", label).translate(_INVISIBLE).split())


def unified(labels: Sequence[str], merge_case: bool = False) -> tuple[list[str], tuple[str, ...]]:
    """Return the labels with one spelling for each class, and notes on the labels that were merged.

    Labels with the same `plain_form` are replaced by the most frequent of them. With `merge_case`, the same is done for
    labels that differ in case. A label that is empty, or whose plain form is empty, means no label.
    """
    counts = Counter(labels)
    spellings: dict[str, list[str]] = {}
    for label in counts:
        form = plain_form(label)
        spellings.setdefault(form.casefold() if merge_case else form, []).append(label)
    chosen: dict[str, str] = {}
    notes = []
    for form, group in spellings.items():
        best = min(group, key=lambda label: (-counts[label], label)) if form else ""
        chosen |= dict.fromkeys(group, best)
        if form and len(group) > 1:
            written = " and ".join(f"{label!a} ({counts[label]:,})" for label in sorted(group))
            how = "case, or in how Unicode writes them" if merge_case else "how Unicode writes them"
            notes.append(f"The labels {written} differ only in {how}: read as one class, '{best}'.")
        elif not form and any(group):
            empty = sum(counts[label] for label in group if label)
            notes.append(f"{empty:,} labels hold only invisible characters: read as no label.")
    return [chosen[label] for label in labels], tuple(notes)
