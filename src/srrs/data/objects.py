"""A function that merges rows of a table with the same id, which are images of one object."""

from dataclasses import replace

from srrs.data.rows import MISSING, NO_LABEL, Samples
from srrs.errors import DataError


def merged(samples: Samples, source: str) -> Samples:
    """Return samples with one row per id. The images of an id are in the order of their paths.

    Raises
    ------
    DataError
        Two rows with the same id have different labels. The message names the rows.
    """
    rows_of: dict[str, list[int]] = {}
    for row, name in enumerate(samples.ids):
        rows_of.setdefault(name, []).append(row)
    if len(rows_of) == len(samples):
        return samples
    groups = [sorted(rows, key=lambda row: str(samples.paths[row])) for rows in rows_of.values()]
    labels, issues = samples.labels.copy(), list(samples.issues)
    for rows in groups:
        labels[rows[0]] = label = _label(samples, rows, source)
        found = {samples.issues[row] for row in rows}
        issues[rows[0]] = MISSING if found == {MISSING} else NO_LABEL if label < 0 and NO_LABEL in found else ""
    firsts = replace(samples, labels=labels, issues=tuple(issues)).take([rows[0] for rows in groups])
    several = sum(len(rows) > 1 for rows in groups)
    return replace(
        firsts,
        others=tuple(tuple(("", samples.paths[row]) for row in rows[1:]) for rows in groups),
        notes=(
            *samples.notes,
            f"{several} ids stand in several rows: the rows of an id are read as images of one object.",
        ),
    )


def _label(samples: Samples, rows: list[int], source: str) -> int:
    """Return the label of the rows of an id; -1 if no row has a label. Raises DataError as `merged` does."""
    labeled = sorted(row for row in rows if samples.labels[row] >= 0)
    for row in labeled[1:]:
        if samples.labels[row] != samples.labels[labeled[0]]:
            first, other = samples.given[labeled[0]], samples.given[row]
            raise DataError(
                f"Expected one label for each id of {source}, but '{samples.ids[row]}' is '{first}' in row "
                f"{labeled[0] + 1} and '{other}' in row {row + 1}. Fix it, or give ids that differ to audit each "
                "image by itself."
            )
    return int(samples.labels[labeled[0]]) if labeled else -1
