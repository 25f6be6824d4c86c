"""Label noise for experiments. Draws belong to a sample's key, not to its position: reordering samples changes nothing.

N samples, C classes, D feature size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self, cast

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

Kind = Literal["sym", "pair", "instance", "open", "matrix", "human"]
RATED = ("sym", "pair", "instance", "open")


@dataclass(frozen=True)
class NoiseSpec:
    """A kind of label noise, and its rate or the file that holds it.

    Written `sym:0.5`, `pair:0.25`, `instance:0.3`, `open:0.2` or `open:0.2:FOLDER`, `matrix:FILE`, `human` or
    `human:FILE`.
    """

    kind: Kind
    """`sym`: any other class alike; `pair`: the next class; `instance`: follows the picture; `open`: pictures of no
    class; `matrix`: a class-confusion matrix; `human`: labels that people gave."""
    rate: float | None = None
    """Share of wrong labels, 0 to 1; None where the labels or the matrix of a file decide it."""
    source: str = ""
    """File of a matrix or of human labels, folder of pictures of no class; '' where the data set has them itself."""

    def __post_init__(self) -> None:
        rated = self.rate is not None and 0 <= self.rate <= 1
        fits = {
            **dict.fromkeys(("sym", "pair", "instance"), rated and not self.source),
            "open": rated,
            "matrix": self.rate is None and bool(self.source),
            "human": self.rate is None,
        }
        if not fits.get(self.kind):
            raise ValueError(_expected(str(self)))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `kind:rate` and its kin. Raises ValueError with what was expected."""
        name, _, rest = text.strip().partition(":")
        kind = cast(Kind, name)
        try:
            if kind not in RATED:
                return cls(kind, None, rest)
            rate, _, source = rest.partition(":")
            return cls(kind, float(rate), source)
        except ValueError:
            raise ValueError(_expected(text)) from None

    def __str__(self) -> str:
        rate = None if self.rate is None else f"{self.rate:g}"
        return ":".join(filter(None, (self.kind, rate, self.source)))


def _expected(found: str) -> str:
    return (
        "Expected noise as kind:rate, with the kind sym (any other class), pair (the next class), instance (follows "
        "the picture) or open (pictures of no class; open:0.2:FOLDER takes them from a folder) and the rate from 0 to "
        "1, or as matrix:FILE (a class-confusion matrix), human:FILE or human (labels that people gave), as in "
        f"sym:0.5, but got {found!r}"
    )


def flip(labels: Ints, keys: Sequence[str], classes: int, spec: NoiseSpec, seed: int) -> Ints:
    """Label-flip protocol: exactly `round(rate * N)` labels (N,) become wrong.

    With one seed, what is wrong at a low rate is wrong in the same way at every higher one. Raises ValueError where
    the noise is neither sym nor pair, keys repeat, a label is not in 0..C-1, or there is no second class to flip to.
    """
    if spec.kind not in ("sym", "pair") or spec.rate is None:
        raise ValueError(f"Expected noise of the kind sym or pair to flip labels by, as in sym:0.5, but got {spec}")
    order = _order(labels, keys, classes)
    wrong = round(spec.rate * len(order))
    if wrong and classes < 2:
        raise ValueError(f"Expected at least 2 classes to flip labels between, but got {classes}")
    generator = np.random.default_rng(seed)
    chosen = order[generator.permutation(len(order))[:wrong]]
    step = generator.integers(1, classes, len(order))[:wrong] if spec.kind == "sym" and wrong else 1
    noisy = np.array(labels)
    noisy[chosen] = (noisy[chosen] + step) % classes
    return noisy


def derange(labels: Ints, generator: np.random.Generator) -> Ints:
    """A random rearrangement of labels (K,) that puts none where it was; equal labels are alike.

    Raises ValueError where more than half of the labels are the same.
    """
    labels = np.asarray(labels)
    names, counts = np.unique(labels, return_counts=True)
    if len(names) and 2 * counts.max() > len(labels):
        raise ValueError(
            f"Expected no label to be more than half of those to exchange, but {names[counts.argmax()]} is "
            f"{counts.max()} of {len(labels)}"
        )
    moved = labels[generator.permutation(len(labels))]
    for row in np.flatnonzero(moved == labels):
        label = labels[row]
        if moved[row] == label:  # unless it was a partner before
            partner = generator.choice(np.flatnonzero((labels != label) & (moved != label)))
            moved[[row, partner]] = moved[[partner, row]]
    return moved


def by_matrix(labels: Ints, keys: Sequence[str], matrix: Floats, seed: int) -> Ints:
    """Draw each label (N,) anew from its row of the matrix (C, C), `P(given | true)`.

    The share of wrong labels varies around its expectation. Raises ValueError where a row is no distribution.
    """
    matrix = np.asarray(matrix, np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"Expected a matrix of shape (C, C), but got {matrix.shape}")
    bad = np.flatnonzero((matrix < 0).any(1) | ~np.isclose(matrix.sum(1), 1))
    if len(bad):
        raise ValueError(f"Expected every row of the matrix to be a distribution, but row {bad[0]} is not")
    order = _order(labels, keys, len(matrix))
    noisy = np.array(labels)
    noisy[order] = _draw(matrix[noisy[order]], np.random.default_rng(seed))
    return noisy


def instance_dependent(
    features: Floats, labels: Ints, keys: Sequence[str], classes: int, rate: float, seed: int, *, spread: float = 0.1
) -> Ints:
    """Noise that follows the picture (Xia et al. 2020): labels (N,) from features (N, D).

    Each sample flips with its own probability, normal around `rate` with deviation `spread`, cut to 0..1 (so a small
    rate comes out a little higher; rate 0 flips nothing). Where it flips to is a softmax of `features @ W[label]`
    over the other classes, with standard normal `W`: longer features make it more certain.
    """
    order = _order(labels, keys, classes)
    noisy = np.array(labels)
    if rate == 0 or not len(order):
        return noisy
    if classes < 2 or not 0 < rate <= 1:
        raise ValueError(f"Expected at least 2 classes and a rate from 0 to 1, but got {classes} and {rate}")
    generator = np.random.default_rng(seed)
    flips = _truncated_normal(rate, spread, len(order), generator)
    given, rows = noisy[order], np.arange(len(order))
    target = np.empty((len(order), classes))
    for c in range(classes):
        weights = generator.standard_normal((features.shape[1], classes))
        target[given == c] = features[order[given == c]] @ weights
    target[rows, given] = -np.inf
    target = np.exp(target - target.max(1, keepdims=True))
    target *= flips[:, None] / target.sum(1, keepdims=True)
    target[rows, given] = 1 - flips
    noisy[order] = _draw(target, generator)
    return noisy


def _order(labels: Ints, keys: Sequence[str], classes: int) -> Ints:
    """Positions (N,) in the order of the keys."""
    labels = np.asarray(labels)
    if len(keys) != len(labels):
        raise ValueError(f"Expected one key per label, but got {len(keys)} keys for {len(labels)} labels")
    if len(set(keys)) != len(keys):
        raise ValueError("Expected a different key for every sample, but some keys repeat")
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(f"Expected labels in 0..{classes - 1}, but they run from {labels.min()} to {labels.max()}")
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)


def _draw(probs: Floats, generator: np.random.Generator) -> Ints:
    """One class per row of probs (N, C)."""
    bounds = probs.cumsum(1)
    bounds /= bounds[:, -1:]
    return np.asarray((bounds <= generator.random((len(probs), 1))).sum(1))


def _truncated_normal(mean: float, std: float, size: int, generator: np.random.Generator) -> Floats:
    draws = generator.normal(mean, std, size)
    while (outside := (draws < 0) | (draws > 1)).any():
        draws[outside] = generator.normal(mean, std, int(outside.sum()))
    return draws
