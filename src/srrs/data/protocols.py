"""Which training images a run sees, and the label each is given: few-shot sampling and label noise.

True labels are used here to draw noise and to measure, and are passed to no method. N training rows, C classes, D
feature size.
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
BY_FEATURES = ("near", "half", "inst", "instance")
"""Kinds of noise that depend on the features of the images."""
FOLDS = 5


@dataclass(frozen=True, eq=False)
class Draw:
    """The N images of a run, sorted by given class."""

    rows: Ints
    """(N,) into the training split, in the order drawn."""
    given: Ints
    """(N,) label as given."""
    truth: Ints
    """(N,) -1: an image of none of the classes."""

    def digest(self, paths: Sequence[str]) -> str:
        """Return the `digest` of this draw, from the paths of the whole training split."""
        return digest([paths[row] for row in self.rows], self.given)


def digest(paths: Sequence[str], labels: Ints) -> str:
    """Return the SHA-256 in hex of the lines `path,label`, in their order."""
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
    """Draw `shots` images per class (all where None, or where a class has fewer) and give them their labels.

    `labels` (N,) is the truth of the training split and runs over 0..C-1: to use some classes only, renumber those,
    and leave the rows of the others out or label them -1, images of no class. `paths` (N,), as the split file
    writes them, key the draws: another order of the rows gives the same draw. The rows come class by
    class of the given label, in each class first those it describes rightly.

    `+tail:R` first draws the shots of each true class, keeps class sizes that fall to 1 / R, and adds the noise to what
    is left.

    *fp-injection* keeps the observed classes balanced. sym and pair: each class is permuted once; the first shots - k
    are its own, the next k go to other classes, where k = round(rate * shots) - so the rate is met exactly where
    rate * shots is whole. pair sends them to the preceding class, sym to classes at random, each of which gets as
    many as it gives, so that all images are distinct and stay the same ones at every rate. (pair shifts the
    balance where classes have fewer than `shots`.) open replaces k of each class. matrix, near,
    half, inst, instance and human noise comes first; then `shots` are drawn of each given label.

    *label-flip* keeps the true classes balanced: `shots` are drawn of each true class, then round(rate * samples) of
    all samples become wrong (sym, pair, open), or each on its own (matrix, near, half, inst, instance, human).

    open takes the images labeled -1, each once. near, half, inst and instance need `features` (N, D).
    human takes its file, else `given` (N,), -1 where nobody gave one. Files name the classes by `class_names` (C,) or
    by number.

    `as_published` draws exactly what the published fp-injection generators draw at this split, seed and k, faults
    included, by position in the split; see `srrs.data.as_published`.

    Raises
    ------
    SettingsError
        A protocol, number of shots or seed that there is not, or `as_published` with anything but sym or pair
        noise, fp-injection and a number of shots.
    DataError
        Labels, paths or a file that do not fit, a class without images, too few images of no class.
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
    known = np.flatnonzero(labels >= 0)
    wrong = round((noise.rate or 0.0) * shots)
    places, given = published_lists(labels[known], classes, noise.kind, shots=shots, wrong=wrong, seed=int(seed))
    return Draw(known[places], given, labels[known[places]])


def _check_asked(noise: NoiseSpec, protocol: str, shots: int | None, seed: int, as_published: bool) -> None:
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
    """Return the first rows of each class in the order."""
    ranked = order[np.argsort(labels[order], kind="stable")]
    bounds = np.searchsorted(labels[ranked], np.arange(classes + 1))
    return [ranked[start:end][:shots] for start, end in pairwise(bounds)]


def _last(pools: list[Ints], rate: float) -> Bools:
    """Return which of the pooled rows are among the last round(rate * size) of their class."""
    return np.concatenate([np.arange(len(pool)) >= len(pool) - round(rate * len(pool)) for pool in pools])


def _other_classes(owners: Ints, classes: int, noise: NoiseSpec, generator: np.random.Generator) -> Ints:
    if noise.kind == "pair":
        return (owners - 1) % classes
    try:
        return derange(owners, generator)
    except ValueError as error:
        raise DataError(f"{error}. Set a number of shots, so that the classes are alike in size.") from None


def _outsiders(rows: Ints, count: int, noise: NoiseSpec) -> Ints:
    if len(rows) < count:
        raise DataError(
            f"Expected at least {count} images of no class for {noise} noise, but found {len(rows)}. Use some of "
            "the classes only, so that the others' images serve, or name a folder, as in open:0.2:FOLDER."
        )
    return rows[:count]


def _class_by_class(rows: Ints, given: Ints, labels: Ints) -> Draw:
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
    """Return a noisy label for each row (N,), -1 where there is none."""
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
    """Return the noisy labels (N,) that follow the features (N, D)."""
    rate = noise.rate or 0.0
    if noise.kind == "instance":
        return instance_dependent(features, truth, keys, classes, rate, seed)
    if noise.kind == "inst":
        fold = _shuffled(keys, 0).argsort() % FOLDS
        probs = out_of_fold(features, one_hot(truth, classes), fold)
        return np.asarray(to_confused(truth, keys, probs, rate, seed))
    means = np.stack([features[truth == label].mean(axis=0) for label in range(classes)])
    means /= np.linalg.norm(means, axis=1, keepdims=True).clip(1e-12)
    return np.asarray(to_similar(truth, keys, means @ means.T, rate, seed, half=noise.kind == "half"))


def _human(labels: Ints, paths: Sequence[str], names: tuple[str, ...], noise: NoiseSpec, given: Ints | None) -> Ints:
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
