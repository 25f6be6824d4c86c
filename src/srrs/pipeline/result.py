"""Functions that make the result of a run for the user: flags, notes, the audit and its thumbnails.

C classes, D feature size. A row is a row of the user's dataset.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from srrs.audit import flags as flagging
from srrs.audit.report import jpeg
from srrs.audit.table import Audit, Rows
from srrs.config import Settings
from srrs.data.appearance import appearance, unseen
from srrs.data.images import open_rgb
from srrs.data.pictures import file_of
from srrs.data.samples import Samples, looks_like_codes
from srrs.errors import DataError
from srrs.pipeline.request import LOOKING, Stages
from srrs.records import Ints
from srrs.training.loop import Outcome
from srrs.tuning import Task, untuned_head, versions

NEAR_CHANCE = 2.0
"""If the zero-shot predictions agree with fewer labels than this factor times chance, there is a warning."""


def flag_images(
    samples: Samples,
    rows: Ints,
    plain: np.ndarray,
    *,
    opened: bool,
    stages: Stages | None = None,
    neighbors: Ints | None = None,
) -> flagging.Photos:
    """Return the data of some rows from which flags are computed.

    Parameters
    ----------
    samples : the samples of all rows.
    rows : (n,) the rows.
    plain : (n, D) features of the plain view.
    opened : whether the images may be opened. Otherwise, there are no flags of the pixels.
    stages : called when the images are opened.
    neighbors : (n, k) positions of the nearest images among the rows, see `srrs.audit.flags.Photos`.
    """
    seen = appearance(samples, rows, stages and stages(LOOKING)) if opened else unseen(len(rows))
    names = samples.label_names
    return flagging.Photos(
        ids=tuple(samples.ids[row] for row in rows),
        given=tuple(names[label] if label >= 0 else "" for label in samples.labels[rows]),
        keys=tuple(samples.keys[row] for row in rows),
        features=plain,
        looks=seen.looks,
        defects=seen.defects,
        neighbors=neighbors,
    )


def class_name_notes(samples: Samples, outcome: Outcome, task: Task) -> list[str]:
    """Return warnings if class names look like codes, or if zero-shot predictions are near chance."""
    notes = []
    codes = looks_like_codes(samples.class_names)
    if codes:
        notes.append(f"Class names that look like codes ({', '.join(codes[:5])}): give words with --names FILE.")
    agreement = float((outcome.predicted["zero_shot"] == task.labels).mean())
    if agreement < NEAR_CHANCE / len(samples.class_names):
        notes.append(
            f"The untuned model agrees with {100 * agreement:.0f} % of the labels, near chance: it may not know these "
            "class names. Give plain words with --names FILE, or another --model."
        )
    return notes


def class_vectors(task: Task) -> np.ndarray | None:
    """Return the class vectors (C, D) of the untuned classifier; None if there is none."""
    head = untuned_head(task)
    return None if head is None else head.weights.cpu().numpy()


def make_audit(
    samples: Samples,
    rows: Ints,
    outcome: Outcome,
    task: Task,
    settings: Settings,
    flags: Mapping[str, str | None] | None = None,
    neighbors: Ints | None = None,
) -> Audit:
    """Return the audit of the last round.

    Parameters
    ----------
    samples : the samples of all rows.
    rows : (N,) the row of each sample of the task.
    outcome : the result of the training.
    task : the training task.
    settings : the settings of the run.
    flags : the cells of the column `flags`, by id.
    neighbors : (N, k) the nearest samples of each sample, see `Audit.of`.
    """
    used: dict[str, Any] = {
        **settings.flat(),
        "matcher": task.models.matcher.name if task.models.matcher else "none",
        "model_revision": task.models.revision,
        "matcher_revision": str(getattr(task.models.matcher, "revision", "")),
        "model_fingerprint": task.models.fingerprint,
        "kernels": task.models.kernels,
        "views": task.source.augmented,
        "text_passes": outcome.text_passes,
        "versions": versions(),
    }
    return Audit.of(
        user_rows(samples), rows, outcome.round, used, predicted=outcome.predicted, flags=flags,
        features=task.source.unit_features(), neighbors=neighbors,
    )  # fmt: skip


def user_rows(samples: Samples) -> Rows:
    """Return the rows of an audit from the samples of all rows."""
    return Rows(
        ids=samples.ids,
        paths=tuple(map(file_of, samples.paths)),
        given=np.asarray(samples.labels),
        class_names=samples.label_names,
        issues=samples.issues,
        words=samples.class_names if samples.own_names else (),
    )


def thumbnails(samples: Samples) -> Callable[[int], bytes | None]:
    """Return a function from a row to the JPEG thumbnail of its image. It returns None if the image cannot be read."""

    def thumbnail(row: int) -> bytes | None:
        try:
            return jpeg(open_rgb(samples.paths[row], at_least=128))
        except DataError:
            return None

    return thumbnail
