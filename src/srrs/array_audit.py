"""An audit of arrays: labels, and features, class vectors or predictions. It needs no files and no model.

N images, C classes, D feature size.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from srrs.audit.table import Audit, Rows
from srrs.core.blocks import blocks
from srrs.core.index import neighbors_of_many
from srrs.errors import DataError
from srrs.mapped import empty
from srrs.methods.rectify import posterior
from srrs.records import Evidence, Floats, Ints, Matched, Round
from srrs.screening.decision import Trust, decide
from srrs.screening.decision.keys import row_keys
from srrs.screening.decision.partition import partition_of

LOGIT_SCALE = 100.0
"""Factor from the cosine of an image and a class to the logit, as in CLIP."""


def audit_labels(
    labels: Sequence[Any] | Ints,
    *,
    features: Floats | None = None,
    class_vectors: Floats | None = None,
    pred_probs: Floats | None = None,
    class_names: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    trust: Trust = "auto",
    seed: int = 0,
) -> Audit:
    """Audit labels from arrays: which labels are probably wrong, and the suggested label of each image.

    At least one of `features` and `pred_probs` is required.

    Parameters
    ----------
    labels : (N,) given labels: class names, or positions in `class_names`. Every image needs a label.
    features : (N, D) image features of any model. They need not have unit length, and may be memory-mapped.
    class_vectors : (C, D) text features of the classes, in the order of `class_names`. They require `features`.
    pred_probs : (N, C) out-of-fold probabilities of a classifier that was trained on the labels, as for cleanlab.
    class_names : the C classes; by default the sorted names among the labels or, for integers, `0` to the largest one.
    ids : (N,) unique names of the images; by default their positions.
    trust : which side the audit follows if the labels and the model disagree about most images: `labels`, `model`, or
        `auto`, which chooses by the data.
    seed : seed of the folds and random draws.

    Returns
    -------
    Audit
        The audit, with one row per image in the order of the arrays.

    Raises
    ------
    DataError
        Neither features nor predictions are given, or shapes, labels and names do not match.
    """
    numbers, names = _classes(labels, class_names)
    if ids is not None and len(set(ids)) < len(numbers):
        raise DataError(f"Expected an id of its own for each of {len(numbers):,} images, but found {len(set(ids)):,}.")
    arrays = {"features": features, "class_vectors": class_vectors, "pred_probs": pred_probs}
    _check(arrays, len(numbers), len(names))
    zero_shot = None if class_vectors is None else zero_shot_logits(np.asarray(features), np.asarray(class_vectors))
    try:
        verdicts = decide(
            numbers, classes=len(names), features=features, zero_shot=zero_shot, pred_probs=pred_probs, trust=trust,
            seed=seed,
        )  # fmt: skip
    except ValueError as error:
        raise DataError(f"{error}") from None
    content = next(array for array in (features, zero_shot, pred_probs) if array is not None)
    keys = np.concatenate([row_keys(content[rows]) for rows in blocks(len(numbers))])
    partition = partition_of(verdicts, 0 if features is None else np.shape(features)[1])
    n = len(numbers)
    evidence = Evidence(keys=keys, labels=numbers, classes=len(names))
    targets, _ = posterior()(evidence, partition, {})
    matched = Matched(np.ones(n, bool), np.full(n, np.nan))
    outcome = Round(evidence, partition, targets, matched, verdicts.quality)
    rows = Rows(tuple(ids or map(str, range(n))), (None,) * n, numbers, names, (None,) * n)
    used = {
        "method": "srrs",
        "trust": trust,
        "seed": seed,
        "sources": [name for name in arrays if arrays[name] is not None],
    }
    predicted = {} if zero_shot is None else {"zero_shot": zero_shot.argmax(1)}
    near, _ = (None if features is None else neighbors_of_many(features, keys)) or (None, None)
    return Audit.of(rows, np.arange(n), outcome, used, predicted=predicted, features=features, neighbors=near)


def zero_shot_logits(features: Floats, class_vectors: Floats) -> Floats:
    """Return logits (N, C) of features (N, D) and class vectors (C, D): 100 times the cosine, as in CLIP.

    The last bits of a product can depend on the position of a row. Therefore the rows are multiplied in the order of
    their content keys. Within a block, equal rows get the logits of the first one.
    """
    vectors = (class_vectors / np.linalg.norm(class_vectors, axis=1, keepdims=True).clip(1e-12)).astype(np.float32)
    logits = empty((len(features), len(vectors)), np.float32)
    keys = np.concatenate([row_keys(features[rows]) for rows in blocks(len(features))])
    order = np.argsort(keys, kind="stable")
    for block in blocks(len(features)):
        rows = order[block]
        part = np.asarray(features[rows], np.float32)
        unit = part / np.linalg.norm(part, axis=1, keepdims=True).clip(1e-12)
        new = np.r_[True, (part[1:] != part[:-1]).any(1)]
        first = np.maximum.accumulate(np.where(new, np.arange(len(part)), 0))
        logits[rows] = (LOGIT_SCALE * unit @ vectors.T)[first]
    return logits


def _classes(labels: Sequence[Any] | Ints, class_names: Sequence[str] | None) -> tuple[Ints, tuple[str, ...]]:
    """Return the class numbers of labels (N,), and the names (C,) of the classes. Raises DataError for bad labels."""
    if class_names is not None and (twice := [name for name, times in Counter(class_names).items() if times > 1]):
        raise DataError(f"Expected each class name once, but '{twice[0]}' stands there several times.")
    given = np.asarray(labels)
    if given.ndim != 1 or not len(given):
        raise DataError(
            f"Expected labels as a list, one for each image, but found an array of the shape {given.shape}."
        )
    if given.dtype.kind in "iu":
        names = tuple(class_names) if class_names is not None else tuple(map(str, range(int(given.max()) + 1)))
        if given.min() < 0 or given.max() >= len(names):
            raise DataError(
                f"Expected labels from 0 to {len(names) - 1}, one for each class name, but found {given.min()} to "
                f"{given.max()}."
            )
        return given.astype(np.int64), names
    if lacking := [row for row, label in enumerate(labels) if _is_missing(label)]:
        raise DataError(
            f"Expected a label for each image, but row {lacking[0]} has none ({len(lacking):,} of {len(given):,} "
            "rows). Leave these rows out."
        )
    words = given.astype(str)
    names = tuple(class_names) if class_names is not None else tuple(sorted(set(words.tolist())))
    place = {name: at for at, name in enumerate(names)}
    if unknown := sorted(set(words.tolist()) - place.keys()):
        raise DataError(f"Expected labels among the class names, but found {', '.join(map(repr, unknown[:3]))}.")
    return np.array([place[word] for word in words.tolist()], np.int64), names


def _is_missing(label: Any) -> bool:
    """Return whether a label is None, NaN or a text without visible characters."""
    return label is None or label != label or (isinstance(label, str) and not label.strip())


def _check(arrays: Mapping[str, Floats | None], n: int, classes: int) -> None:
    """Raise DataError if shapes do not match, or if a number is not finite or, for probabilities, negative."""
    if arrays["class_vectors"] is not None and arrays["features"] is None:
        raise DataError("Expected features beside the class vectors: a zero-shot prediction needs both.")
    rows = {"features": n, "class_vectors": classes, "pred_probs": n}
    what = {"features": "label", "class_vectors": "class", "pred_probs": "label"}
    for name, array in arrays.items():
        if array is None:
            continue
        if np.ndim(array) != 2 or len(array) != rows[name]:
            raise DataError(
                f"Expected {name} with {rows[name]} rows, one for each {what[name]}, but found an array of the shape "
                f"{np.shape(array)}."
            )
        for block in blocks(len(array)):
            if len(bad := np.flatnonzero(~np.isfinite(np.asarray(array[block])).all(1))):
                raise DataError(f"Expected finite numbers in {name}, but row {block.start + int(bad[0])} has others.")
    features, vectors, probs = arrays["features"], arrays["class_vectors"], arrays["pred_probs"]
    if features is not None and vectors is not None and features.shape[1] != vectors.shape[1]:
        raise DataError(
            f"Expected class vectors as long as the features ({features.shape[1]}), but theirs is {vectors.shape[1]}."
        )
    if probs is not None and (probs.shape[1] != classes or np.min(probs) < 0):
        raise DataError(
            f"Expected pred_probs as probabilities of {classes} classes, but found {probs.shape[1]} columns."
        )
