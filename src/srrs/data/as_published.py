"""The images and wrong labels that the released code of PTNL, JoAPR and SRRS draws (the protocol FP-injection).

A false positive is an image with the label of a class that it does not show. The released code differs from
`protocols.draw`:

- The correct images of a class are drawn from the first half of the class only, with repetition if this half has fewer
  images than `shots`. The false positives are drawn from the second halves only.
- Symmetric noise may repeat a false positive within a class. Pair noise repeats the last image of a half if the half
  has too few images.
- The draws depend on the positions of the images. The draws of `sym` also depend on the order in which CPython iterates
  over a set of row numbers.

N images of the training split, C classes.
"""

from random import Random

import numpy as np

from srrs.errors import DataError
from srrs.records import Ints

Rows = list[list[int]]
"""Row numbers of each class."""


def as_published(labels: Ints, classes: int, kind: str, *, shots: int, wrong: int, seed: int) -> tuple[Ints, Ints]:
    """Return the rows (C * shots,) and the given labels of the images, class by class, the false positives first.

    Raises DataError if no false positive is left for a class.

    Parameters
    ----------
    labels : (N,) labels of the training split in the order of the split, with every class of 0..C-1 at least once.
    classes : C.
    kind : sym or pair.
    shots : number of images per class.
    wrong : number of false positives among these. With 0, the released code for pair noise fails. Here, all images are
        then drawn from the first halves.
    seed : seed of the draws.
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
    """Return the false positives of each class, drawn from the second halves of all other classes."""
    pool, chosen, false = {row for rows in second for row in rows}, set[int](), []
    for c, (tp, fp) in enumerate(zip(first, second, strict=True)):
        left = list(pool.difference(tp, fp, chosen))  # the draw depends on the order of this set
        _check(left, wrong, c)
        false.append(random.choices(left, k=wrong))
        chosen.update(false[-1])
    return false


def _pair(first: Rows, second: Rows, wrong: int, random: Random) -> Rows:
    """Return the false positives of each class, drawn from the second half of the next class."""
    for tp, fp in zip(first, second, strict=True):
        random.shuffle(tp)
        random.shuffle(fp)
    # The published code draws the class with random.choices, but always gets the next class. No later draw depends on
    # this call.
    false = []
    for c in range(len(second)):
        following = second[(c + 1) % len(second)]
        _check(following, wrong, c)
        false.append([following[min(place, len(following) - 1)] for place in range(wrong)])
    return false


def _check(pool: list[int], wrong: int, c: int) -> None:
    """Raise DataError if class c needs false positives and none is left."""
    if wrong and not pool:
        raise DataError(
            f"Expected false positives left for class {c}, but the second halves of the other classes have none that "
            "the published generator would use. Use more images, or draw without --as-published."
        )
