"""Label noise for experiments. The draw for a sample depends on its key, so the order of the rows does not matter.

N samples, C classes, D feature size.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self, cast

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

Kind = Literal["sym", "pair", "near", "half", "inst", "instance", "open", "matrix", "human"]
RATED = ("sym", "pair", "near", "half", "inst", "instance", "open")


@dataclass(frozen=True)
class NoiseSpec:
    """A kind of label noise, with its rate or the file that contains it.

    As text, a specification is `sym:0.5`, `pair:0.25`, `near:0.2`, `half:0.25`, `inst:0.2`, `instance:0.3`, `open:0.2`,
    `open:0.2:FOLDER`, `matrix:FILE`, `human` or `human:FILE`. If `+tail:10` is appended, the class sizes fall from the
    largest class to a smallest class of a tenth of its size.
    """

    kind: Kind
    """How a wrong label is chosen. `sym`: any other class, with equal probability; `pair`: the next class; `near`: the
    most similar class; `half`: as `near`, in half of the classes; `inst`: an image that looks like another class gets
    that class; `instance`: by a random projection of the image (Xia et al. 2020); `open`: images of no class are added;
    `matrix`: by a matrix of class confusion; `human`: labels that people gave."""
    rate: float | None = None
    """Share of wrong labels, from 0 to 1; None if it follows from the labels or the matrix of a file."""
    source: str = ""
    """File of a matrix or of human labels, or folder of images of no class; '' if the dataset provides them."""
    tail: float | None = None
    """Ratio of the largest class to the smallest class after a long-tailed draw; None if class sizes do not change."""

    def __post_init__(self) -> None:
        rated = self.rate is not None and 0 <= self.rate <= 1
        fits = {
            **dict.fromkeys(("sym", "pair", "near", "half", "inst", "instance"), rated and not self.source),
            "open": rated,
            "matrix": self.rate is None and bool(self.source),
            "human": self.rate is None,
        }
        if not fits.get(self.kind) or (self.tail is not None and not self.tail >= 1):
            raise ValueError(_expected(str(self)))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the specification that a text describes. Raises ValueError if the text is not valid."""
        found = re.fullmatch(r"(.*?)(?:\+tail:([\d.]+))?", text.strip(), re.DOTALL)
        noise, tail = found.groups() if found else (text, None)
        name, _, rest = noise.partition(":")
        kind = cast(Kind, name)
        try:
            ratio = None if tail is None else float(tail)
            if kind not in RATED:
                return cls(kind, None, rest, ratio)
            rate, _, source = rest.partition(":")
            return cls(kind, float(rate), source, ratio)
        except ValueError:
            raise ValueError(_expected(text)) from None

    def __str__(self) -> str:
        rate = None if self.rate is None else f"{self.rate:g}"
        tail = "" if self.tail is None else "+tail:" + f"{self.tail:f}".rstrip("0").rstrip(".")  # no exponent
        return ":".join(filter(None, (self.kind, rate, self.source))) + tail


def _expected(found: str) -> str:
    """Return the error message for a specification that is not valid."""
    return (
        "Expected noise as kind:rate, with the kind sym (any other class), pair (the next class), near (the most "
        "similar class), half (the same, in half of the classes), inst (images that look like another class), instance "
        "(by a random projection of the image) or open (images of no class; open:0.2:FOLDER takes them from a folder) "
        "and the rate from 0 to 1, or as matrix:FILE (a class-confusion matrix), human:FILE or human (labels that "
        "people gave), with +tail:RATIO (from 1) behind it for class sizes with a long tail, as in sym:0.5, but got "
        f"{found!r}"
    )


def flip(labels: Ints, keys: Sequence[str], classes: int, spec: NoiseSpec, seed: int) -> Ints:
    """Flip exactly `round(rate * N)` labels (N,) to a random other class or to the next class (label-flip protocol).

    `keys` (N,) are texts, on which the draws depend. With the same seed, a label that is wrong at a low rate is wrong
    in the same way at every higher rate. Raises ValueError if the noise is neither sym nor pair, keys repeat, a label
    is not in 0..C-1, or there is only one class.
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


def to_similar(
    labels: Ints, keys: Sequence[str], similarity: Floats, rate: float, seed: int, *, half: bool = False
) -> Ints:
    """Flip exactly `round(rate * N)` labels (N,) to the class most similar to the true class.

    With the same seed, a label that is wrong at a low rate is wrong at every higher rate. Raises ValueError if the
    similarity is not a square matrix of at least 2 classes, the rate is not between 0 and 1, or the affected classes
    have fewer than `round(rate * N)` images.

    Parameters
    ----------
    labels : (N,) true labels.
    keys : (N,) texts, on which the draws depend.
    similarity : (C, C) of the classes; the diagonal is ignored.
    rate : share of labels that become wrong.
    seed : seed of the draws.
    half : only the images of a random half of the classes become wrong.
    """
    similarity = np.array(similarity, np.float64)
    classes = len(similarity)
    if similarity.shape != (classes, classes) or classes < 2 or not 0 <= rate <= 1:
        raise ValueError(
            f"Expected similarities of at least 2 classes and a rate from 0 to 1, but got {similarity.shape} and {rate}"
        )
    order, generator = _order(labels, keys, classes), np.random.default_rng(seed)
    np.fill_diagonal(similarity, -np.inf)
    noisy, wrong = np.array(labels), round(rate * len(order))
    chosen = generator.permutation(classes)[: classes // 2] if half else np.arange(classes)
    pool = order[np.isin(noisy[order], chosen)]
    if len(pool) < wrong:
        raise ValueError(f"Expected at least {wrong} images of the classes that go wrong, but they have {len(pool)}")
    flipped = pool[generator.permutation(len(pool))[:wrong]]
    noisy[flipped] = similarity.argmax(1)[noisy[flipped]]
    return noisy


def to_confused(labels: Ints, keys: Sequence[str], probs: Floats, rate: float, seed: int) -> Ints:
    """Flip exactly `round(rate * N)` labels (N,) of images that look like another class, to that class.

    `probs` (N, C) are out-of-fold predictions, and `keys` (N,) texts, on which the draws depend. Images are drawn
    without replacement. The chance of an image is proportional to the probability of its best other class (plus 0.001),
    and this class becomes its label. With the same seed, a label that is wrong at a low rate is wrong at every higher
    rate. Raises ValueError if the rate is not between 0 and 1, or the probabilities have a wrong shape.
    """
    probs = np.array(probs, np.float64)
    if probs.ndim != 2 or len(probs) != len(labels) or probs.shape[1] < 2 or not 0 <= rate <= 1:
        raise ValueError(
            f"Expected probabilities of shape ({len(labels)}, C) for at least 2 classes and a rate from 0 to 1, but "
            f"got {probs.shape} and {rate}"
        )
    order = _order(labels, keys, probs.shape[1])
    probs[np.arange(len(labels)), labels] = 0
    # Weighted sampling without replacement: the largest u^(1/w) (Efraimidis and Spirakis 2006)
    draws = np.random.default_rng(seed).random(len(order)) ** (1 / (probs[order].max(1) + 1e-3))
    flipped = order[np.argsort(-draws, kind="stable")[: round(rate * len(order))]]
    noisy = np.array(labels)
    noisy[flipped] = probs[flipped].argmax(1)
    return noisy


def long_tail(labels: Ints, keys: Sequence[str], classes: int, ratio: float, seed: int) -> NDArray[np.bool_]:
    """Return which samples (N,) to keep so that class sizes fall exponentially, down to the share 1 / `ratio`.

    Classes are ranked at random. The class of rank r keeps the share `ratio^(-r / (C - 1))` of its samples, and at
    least 2 samples. With the same seed, a sample that is kept at a high ratio is kept at every lower ratio. Raises
    ValueError for a ratio below 1.
    """
    if not ratio >= 1:
        raise ValueError(f"Expected a ratio of at least 1, but got {ratio}")
    order, generator = _order(labels, keys, classes), np.random.default_rng(seed)
    kept = np.zeros(len(order), dtype=bool)
    for rank, k in enumerate(generator.permutation(classes)):
        members = order[np.asarray(labels)[order] == k]
        share = ratio ** (-rank / max(classes - 1, 1))
        kept[members[generator.permutation(len(members))[: max(2, round(len(members) * share))]]] = True
    return kept


def derange(labels: Ints, generator: np.random.Generator) -> Ints:
    """Return a random permutation of labels (K,) in which every position has another label than before.

    Raises ValueError if more than half of the labels are the same.
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
        if moved[row] == label:  # false if it was exchanged as a partner before
            partner = generator.choice(np.flatnonzero((labels != label) & (moved != label)))
            moved[[row, partner]] = moved[[partner, row]]
    return moved


def by_matrix(labels: Ints, keys: Sequence[str], matrix: Floats, seed: int) -> Ints:
    """Draw each label (N,) from the row of its true class in the matrix (C, C), `P(given | true)`.

    The share of wrong labels is random. Raises ValueError if a row of the matrix is not a probability distribution.
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
    """Flip labels (N,) by a random projection of the features (N, D), as in Xia et al. (2020).

    Each sample has its own probability of a flip, which is drawn from a normal distribution with mean `rate` and
    standard deviation `spread`, truncated to 0..1. Therefore the share of flips is a little higher than a small `rate`;
    a rate of 0 flips nothing. The new class is drawn by a softmax of `features @ W[label]` over the other classes,
    where `W` is standard normal. With longer features, the new class is more certain. Raises ValueError if there is
    only one class, or the rate is not between 0 and 1.
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
    """Return the positions (N,), sorted by key. Raises ValueError for missing or repeated keys, or invalid labels."""
    labels = np.asarray(labels)
    if len(keys) != len(labels):
        raise ValueError(f"Expected one key per label, but got {len(keys)} keys for {len(labels)} labels")
    if len(set(keys)) != len(keys):
        raise ValueError("Expected a different key for every sample, but some keys repeat")
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(f"Expected labels in 0..{classes - 1}, but they run from {labels.min()} to {labels.max()}")
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)


def _draw(probs: Floats, generator: np.random.Generator) -> Ints:
    """Draw one class (N,) per row of probs (N, C)."""
    bounds = probs.cumsum(1)
    bounds /= bounds[:, -1:]
    return np.asarray((bounds <= generator.random((len(probs), 1))).sum(1))


def _truncated_normal(mean: float, std: float, size: int, generator: np.random.Generator) -> Floats:
    """Draw numbers (size,) from a normal distribution that is truncated to 0..1."""
    draws = generator.normal(mean, std, size)
    while (outside := (draws < 0) | (draws > 1)).any():
        draws[outside] = generator.normal(mean, std, int(outside.sum()))
    return draws
