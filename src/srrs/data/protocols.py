"""The choice of a run's training images and their given labels: few-shot sampling and label noise.

True labels are used here to draw noise and to measure. No method gets them. N training images, C classes, D feature
size.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from srrs.core.discriminant import out_of_fold
from srrs.core.labels import one_hot
from srrs.core.noise import (
    NoiseSpec,
    by_matrix,
    derange,
    flip,
    instance_dependent,
    long_tail,
    to_confused,
    to_similar,
)
from srrs.data.as_published import as_published as published_lists
from srrs.data.noise_files import read_given, read_matrix
from srrs.errors import DataError, SettingsError
from srrs.records import Bools, Floats, Ints

PROTOCOLS = ("fp-injection", "label-flip")
"""Names of the protocols; see `draw`."""
BY_FEATURES = ("near", "half", "inst", "instance")
"""Kinds of noise that depend on the features of the images."""
FOLDS = 5
"""Number of folds of the predictions for the noise `inst`."""


@dataclass(frozen=True, eq=False)
class Draw:
    """The N images of a run, sorted by given class."""

    rows: Ints
    """(N,) rows of the training split, in the order in which they were drawn."""
    given: Ints
    """(N,) given labels."""
    truth: Ints
    """(N,) true labels; -1 for an image of none of the classes."""

    def digest(self, paths: Sequence[str]) -> str:
        """Return the digest of this draw (see `digest`). `paths` are those of the whole training split."""
        return digest([paths[row] for row in self.rows], self.given)


def digest(paths: Sequence[str], labels: Ints) -> str:
    """Return the SHA-256, in hexadecimal, of the lines `path,label` in their order."""
    lines = "".join(f"{path},{label}\n" for path, label in zip(paths, labels, strict=True))
    return hashlib.sha256(lines.encode()).hexdigest()


def draw(
    labels: Ints,
    paths: Sequence[str],
    classes: int,
    noise: NoiseSpec,
    *,
    protocol: str,
    shots: int | None,
    seed: int,
    as_published: bool = False,
    class_names: Sequence[str] | None = None,
    features: Floats | None = None,
    given: Ints | None = None,
) -> Draw:
    """Draw the training images of a run, and give them labels with noise.

    `shots` images are drawn per class. If a class has fewer images, all of them are drawn, and with `shots=None`, all
    images of every class. The result is sorted by given class. Within a class, images with the correct label come
    first.

    If the noise has `+tail:R`, `shots` images of each true class are drawn first. Then the class sizes are reduced, so
    that they fall to 1 / R. Then the noise is added.

    The protocol *fp-injection* keeps the given classes balanced. For sym and pair noise, the images of each class are
    permuted once. The first shots - k images keep their label, and the next k images get another class, where
    `k = round(rate * shots)`. So the rate is exact if rate * shots is a whole number. With pair noise, the k images get
    the preceding class. With sym noise, they get random classes, such that each class gets as many images as it loses.
    All images are distinct, and the images are the same at every rate. (With pair noise, the classes are not balanced
    if some have fewer than `shots` images.) open noise replaces k images of each class by images of no class. For
    matrix, near, half, inst, instance and human noise, the noise is drawn first, and then `shots` images of each given
    label are drawn.

    The protocol *label-flip* keeps the true classes balanced. First, `shots` images of each true class are drawn. With
    sym, pair and open noise, exactly round(rate * samples) of all samples then become wrong. With matrix, near, half,
    inst, instance and human noise, the noise is drawn for the whole training split, so the share of wrong labels among
    the drawn images is random.

    Parameters
    ----------
    labels : (N,) true labels of the training split, 0..C-1, or -1 for images of no class. To use some classes only,
        renumber these classes, and leave the other rows out or give them the label -1.
    paths : (N,) paths as in the split file. The draws depend on the paths, so the order of the rows does not matter.
    classes : C.
    noise : the kind of noise and its rate. open noise uses the images with the label -1, each once.
    protocol : fp-injection or label-flip.
    shots : number of images per class; None for all.
    seed : seed of the draws.
    as_published : draw the same images and labels as the released code of fp-injection for this split, seed and k, with
        its faults; see `srrs.data.as_published`.
    class_names : (C,) names of the classes in the files of matrix and human noise, which may also use numbers.
    features : (N, D); near, half, inst and instance noise need them.
    given : (N,) labels for human noise without a file; -1 for no label.

    Raises
    ------
    SettingsError
        The protocol, number of shots or seed is not allowed, or `as_published` is combined with other noise than sym or
        pair, with label-flip, or with all images.
    DataError
        Labels, paths or a file do not fit together, a class has no images, or there are too few images of no class.
    ValueError
        The number of class names is wrong, or features that the noise needs are missing.
    """
    labels = np.asarray(labels)
    names = tuple(class_names or map(str, range(classes)))
    if len(names) != classes:
        raise ValueError(f"Expected {classes} class names, but got {len(names)}")
    _check_asked(noise, protocol, shots, seed, as_published)
    _check_split(labels, paths, names, noise)
    if as_published:
        return _published(labels, classes, noise, shots or 0, seed)
    order = _shuffled(paths, seed)
    if noise.tail is not None:
        pool = np.concatenate(_few_shot(labels, order, classes, shots))
        kept = pool[long_tail(labels[pool], [paths[row] for row in pool], classes, noise.tail, seed)]
        part = np.sort(np.concatenate([kept, np.flatnonzero(labels == -1)]))
        found = draw(
            labels[part], [paths[row] for row in part], classes, replace(noise, tail=None), protocol=protocol,
            shots=None, seed=seed, class_names=class_names, features=None if features is None else features[part],
            given=None if given is None else given[part],
        )  # fmt: skip
        return Draw(part[found.rows], found.given, found.truth)
    balanced = protocol == "fp-injection"
    if noise.kind in ("matrix", "human", *BY_FEATURES):
        noisy = _relabeled(labels, paths, names, noise, seed, features, given)
        pools = _few_shot(noisy if balanced else np.where(noisy < 0, -1, labels), order, classes, shots)
        rows = np.concatenate(pools)
        return _class_by_class(rows, noisy[rows], labels)
    pools = _few_shot(labels, order, classes, shots)
    rows, rate = np.concatenate(pools), noise.rate or 0.0
    observed, generator = labels[rows], np.random.default_rng(seed)
    if noise.kind == "open":
        away = _last(pools, rate) if balanced else generator.permutation(len(rows)) < round(rate * len(rows))
        rows[away] = _outsiders(order[labels[order] == -1], int(away.sum()), noise)
    elif balanced:
        away = _last(pools, rate)
        observed[away] = _other_classes(observed[away], classes, noise, generator)
    else:
        observed = flip(observed, [paths[row] for row in rows], classes, noise, seed)
    return _class_by_class(rows, observed, labels)


def _published(labels: Ints, classes: int, noise: NoiseSpec, shots: int, seed: int) -> Draw:
    """Return the draw of the released code."""
    known = np.flatnonzero(labels >= 0)
    wrong = round((noise.rate or 0.0) * shots)
    places, given = published_lists(labels[known], classes, noise.kind, shots=shots, wrong=wrong, seed=int(seed))
    return Draw(known[places], given, labels[known[places]])


def _check_asked(noise: NoiseSpec, protocol: str, shots: int | None, seed: int, as_published: bool) -> None:
    """Raise SettingsError if a setting of `draw` is not allowed."""
    if protocol not in PROTOCOLS:
        raise SettingsError(f"Expected the protocol {' or '.join(PROTOCOLS)}, but got '{protocol}'.")
    if seed < 0 or (shots is not None and shots < 1):
        raise SettingsError(f"Expected at least 1 shot (or all) and a seed from 0, but got {shots} and {seed}.")
    if as_published and (noise.kind not in ("sym", "pair") or protocol != "fp-injection" or shots is None):
        raise SettingsError(
            "The published generators draw fp-injection with sym or pair noise and a number of shots, but got "
            f"{protocol}, {noise} and {shots or 'all'} shots. Draw this one without --as-published."
        )


def _check_split(labels: Ints, paths: Sequence[str], names: tuple[str, ...], noise: NoiseSpec) -> None:
    """Raise DataError if the labels and paths of the training split are not valid."""
    if labels.shape != (len(paths),):
        raise DataError(f"Expected one label for each of {len(paths)} images, but found {labels.shape}.")
    if len(set(paths)) < len(paths):
        path, times = Counter(paths).most_common(1)[0]
        raise DataError(f"Expected every image once in the training split, but '{path}' is there {times} times.")
    counts = np.bincount(labels[labels >= 0], minlength=len(names))
    if labels.size and (labels.min() < -1 or len(counts) > len(names)):
        raise DataError(
            f"Expected labels from 0 to {len(names) - 1}, or -1 for images of no class, but they run from "
            f"{labels.min()} to {labels.max()}."
        )
    if noise.kind != "human" and not counts.all():
        raise DataError(f"Expected training images of every class, but found none of '{names[counts.argmin()]}'.")
    if noise.kind in ("sym", "pair", *BY_FEATURES) and noise.rate and len(names) < 2:
        raise DataError(f"Expected at least 2 classes for {noise} noise, but got {len(names)}.")


def _shuffled(paths: Sequence[str], seed: int) -> Ints:
    """Return all rows (N,) in a random order that depends only on the paths and the seed."""
    keys = [hashlib.blake2b(f"{seed}/{path}".encode(), digest_size=16).digest() for path in paths]
    return np.array(sorted(range(len(paths)), key=keys.__getitem__), np.int64)


def _few_shot(labels: Ints, order: Ints, classes: int, shots: int | None) -> list[Ints]:
    """Return the first `shots` rows of each class in the order; all rows for None."""
    ranked = order[np.argsort(labels[order], kind="stable")]
    bounds = np.searchsorted(labels[ranked], np.arange(classes + 1))
    return [ranked[start:end][:shots] for start, end in pairwise(bounds)]


def _last(pools: list[Ints], rate: float) -> Bools:
    """Return which of the pooled rows are among the last round(rate * size) rows of their class."""
    return np.concatenate([np.arange(len(pool)) >= len(pool) - round(rate * len(pool)) for pool in pools])


def _other_classes(owners: Ints, classes: int, noise: NoiseSpec, generator: np.random.Generator) -> Ints:
    """Return the wrong classes of images from their true classes `owners`, by sym or pair noise."""
    if noise.kind == "pair":
        return (owners - 1) % classes
    try:
        return derange(owners, generator)
    except ValueError as error:
        raise DataError(f"{error}. Set a number of shots, so that the classes are alike in size.") from None


def _outsiders(rows: Ints, count: int, noise: NoiseSpec) -> Ints:
    """Return the first `count` rows of images of no class. Raises DataError if there are fewer."""
    if len(rows) < count:
        raise DataError(
            f"Expected at least {count} images of no class for {noise} noise, but found {len(rows)}. Use some of "
            "the classes only, so that the others' images serve, or name a folder, as in open:0.2:FOLDER."
        )
    return rows[:count]


def _class_by_class(rows: Ints, given: Ints, labels: Ints) -> Draw:
    """Return the draw of these rows, sorted by given class, the correct labels first."""
    place = np.lexsort((given != labels[rows], given))
    return Draw(rows[place], given[place], labels[rows[place]])


def _relabeled(
    labels: Ints,
    paths: Sequence[str],
    names: tuple[str, ...],
    noise: NoiseSpec,
    seed: int,
    features: Floats | None,
    given: Ints | None,
) -> Ints:
    """Return a noisy label for each image (N,); -1 for an image without one."""
    if noise.kind == "human":
        return _human(labels, paths, names, noise, given)
    known = np.flatnonzero(labels >= 0)
    truth, keys = labels[known], [paths[int(row)] for row in known]
    noisy = np.full(len(labels), -1)
    if noise.kind == "matrix":
        noisy[known] = by_matrix(truth, keys, read_matrix(Path(noise.source), names), seed)
    elif features is None or features.ndim != 2 or len(features) != len(labels):
        raise ValueError(f"Expected features of shape ({len(labels)}, D) for {noise} noise")
    else:
        noisy[known] = _by_features(features[known], truth, keys, len(names), noise, seed)
    return noisy


def _by_features(features: Floats, truth: Ints, keys: Sequence[str], classes: int, noise: NoiseSpec, seed: int) -> Ints:
    """Return the noisy labels (N,) that depend on the features (N, D)."""
    rate = noise.rate or 0.0
    if noise.kind == "instance":
        return instance_dependent(features, truth, keys, classes, rate, seed)
    if noise.kind == "inst":
        fold = _shuffled(keys, 0).argsort() % FOLDS
        probs = out_of_fold(features, one_hot(truth, classes), fold)
        return np.asarray(to_confused(truth, keys, probs, rate, seed))
    means = np.stack([features[truth == label].mean(axis=0) for label in range(classes)])
    means /= np.linalg.norm(means, axis=1, keepdims=True).clip(1e-12)
    try:
        return np.asarray(to_similar(truth, keys, means @ means.T, rate, seed, half=noise.kind == "half"))
    except ValueError as error:  # half noise of a rate that half of the classes cannot hold
        raise DataError(f"{error}. Use a lower rate than that of {noise}.") from None


def _human(labels: Ints, paths: Sequence[str], names: tuple[str, ...], noise: NoiseSpec, given: Ints | None) -> Ints:
    """Return the labels (N,) that people gave, from a file or the dataset. Raises DataError if there are none."""
    if noise.source:
        given = read_given(Path(noise.source), paths, names)
        if len(missing := np.flatnonzero((given < 0) & (labels >= 0))):
            raise DataError(
                f"Expected a label for every training image in {noise.source}, but {len(missing)} have none, "
                f"'{paths[int(missing[0])]}' for one. Write the paths as the split file does."
            )
    if given is None:
        raise DataError("This dataset has no labels of people beside its own. Name a file of them: human:FILE.")
    if given.shape != labels.shape or (given.size and not -1 <= given.min() <= given.max() < len(names)):
        raise DataError(f"Expected labels of people from 0 to {len(names) - 1}, -1 for none, one for each image.")
    return np.asarray(given)
