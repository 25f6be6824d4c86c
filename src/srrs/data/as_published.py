"""The lists that the published FP-injection generators draw (PTNL, JoAPR, SRRS), row for row, for comparison with them.

Only the first half of each class is drawn from as its own (with repetition where that half is smaller than `shots`)
and only the second half as false positives; symmetric noise may repeat a false positive within a class; pair noise
repeats the last one when a half runs out. The draws go by position, and `sym` by CPython's order of a set of row
numbers: none of this is what `protocols.draw` does by default.
"""

from random import Random

import numpy as np

from srrs.errors import DataError
from srrs.records import Ints

Rows = list[list[int]]
"""Row numbers of each class."""


def as_published(labels: Ints, classes: int, kind: str, *, shots: int, wrong: int, seed: int) -> tuple[Ints, Ints]:
    """Return rows (C * shots,) and their given labels, class by class, the `wrong` false positives first.

    `labels` (N,) are those of the training split in the split's order, each of 0..C-1 at least once; `kind` is sym or
    pair. At `wrong = 0`, where the published pair generator crashed, there are only the draws from the first halves.

    Raises
    ------
    DataError
        No false positive is left for a class.
    """
    random, generator = Random(seed), np.random.default_rng(seed)
    own = [np.flatnonzero(labels == c).tolist() for c in range(classes)]
    first = [rows[: (len(rows) + 1) // 2] for rows in own]
    second = [rows[(len(rows) + 1) // 2 :] for rows in own]
    false = (_sym if kind == "sym" else _pair)(first, second, wrong, random)
    drawn = []
    for rows, others in zip(first, false, strict=True):
        picks = generator.choice(len(rows), size=shots, replace=len(rows) < shots)
        drawn += others + [rows[pick] for pick in picks[wrong:]]
    return np.array(drawn, np.int64), np.repeat(np.arange(classes), shots)


def _sym(first: Rows, second: Rows, wrong: int, random: Random) -> Rows:
    pool, chosen, false = {row for rows in second for row in rows}, set[int](), []
    for c, (tp, fp) in enumerate(zip(first, second, strict=True)):
        left = list(pool.difference(tp, fp, chosen))  # the order of this set decides what is drawn
        _check(left, wrong, c)
        false.append(random.choices(left, k=wrong))
        chosen.update(false[-1])
    return false


def _pair(first: Rows, second: Rows, wrong: int, random: Random) -> Rows:
    for tp, fp in zip(first, second, strict=True):
        random.shuffle(tp)
        random.shuffle(fp)
    # The published random.choices between the classes always finds the next one, and no draw of `random` follows it.
    false = []
    for c in range(len(second)):
        following = second[(c + 1) % len(second)]
        _check(following, wrong, c)
        false.append([following[min(place, len(following) - 1)] for place in range(wrong)])
    return false


def _check(pool: list[int], wrong: int, c: int) -> None:
    if wrong and not pool:
        raise DataError(
            f"Expected false positives left for class {c}, but the second halves of the other classes have none that "
            "the published generator would use. Use more images, or draw without --as-published."
        )
