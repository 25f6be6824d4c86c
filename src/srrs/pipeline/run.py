"""Functions that run an audit or a fit of the user's rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from srrs.audit import flags as flagging
from srrs.audit.decisions import Decision
from srrs.audit.rows import AFTER, BEFORE
from srrs.config import AUDIT_VIEWS, FIT_VIEWS
from srrs.core.blocks import is_large
from srrs.core.index import neighbors_of_many, unsearchable
from srrs.data.samples import NO_LABEL, Progress, Samples
from srrs.errors import SettingsError
from srrs.mapped import taken
from srrs.methods.trusted import VerifiedLabel
from srrs.pipeline.encoding import encode_rows, features_of, make_task, readable_rows, trainable_rows, view_source
from srrs.pipeline.request import MATCHING, TESTING, TUNING, Fitted, Request, Stages
from srrs.pipeline.result import class_name_notes, class_vectors, flag_images, make_audit
from srrs.records import Group
from srrs.training.events import Listener
from srrs.training.loop import Outcome
from srrs.tuning import audit_task, describe, method_of, tune_task

DROPPED = "left out by decision"
"""The issue of a row that a person has left out."""


def fit(request: Request, *, stages: Stages | None = None, listeners: Sequence[Listener] = ()) -> Fitted:
    """Tune a classifier on samples whose labels are partly wrong, audit the labels, and return both results.

    Parameters
    ----------
    request : the input.
    stages : called when a stage starts, see `Stages`.
    listeners : functions that are called with each event of the training.

    Raises
    ------
    SrrsError
        An input or a setting cannot be used. The error is of a subclass, and its message names the correction.
    """
    return _run(request, tune_task, FIT_VIEWS, stages, listeners)


def audit(request: Request, *, stages: Stages | None = None, listeners: Sequence[Listener] = ()) -> Fitted:
    """Audit the labels, and return the audit. Tuners are trained only if a stage of the method reads their logits.

    The parameters and errors are those of `fit`.
    """
    return _run(request, audit_task, AUDIT_VIEWS, stages, listeners)


def _run(
    request: Request, work: Callable[..., Outcome], views: int, stages: Stages | None, listeners: Sequence[Listener]
) -> Fitted:
    """Return the result of `fit` or `audit`, with the training function `work`.

    `views` is the number of augmented views if the settings do not contain it.
    """
    settings, models = request.settings, request.models
    method = request.method or method_of(settings)  # refuses an unknown method before the encoding
    if clashing := {*BEFORE, *AFTER} & {spec.name for spec in method.tuners}:
        raise SettingsError(
            f"A tuner cannot be called {min(clashing)!r}, which is a column of the audit: choose another name."
        )
    samples, decided = as_decided(request.samples, request.decisions)
    rows = trainable_rows(samples)
    verified = {at: decided[row] for at, row in enumerate(rows.tolist()) if row in decided}
    clauses, notes = describe(samples.class_names, request.descriptions)
    features = features_of(
        request, samples, rows, views if settings.data.views is None else settings.data.views, stages
    )
    source = view_source(request, samples, rows, features)
    matching = stages(MATCHING) if stages and models.matcher else None
    task = make_task(samples, rows, source, models, clauses, settings, matching)
    if stages:
        listeners = [*listeners, _reporting(stages(TUNING))]
    outcome = work(task, settings, method=method, checkpoint=request.checkpoint, listeners=listeners, verified=verified)
    if models.text is not None:
        notes = [*notes, *class_name_notes(samples, outcome, task)]
    elif request.descriptions is None:  # nobody uses or gave descriptions
        notes = []
    test = _test_images(request, stages) if request.held_out else None
    unit = source.unit_features()
    near, similarity = neighbors_of_many(unit, source.keys) or (None, None)
    plain = taken(features.plain, features.at) if is_large(len(rows)) else features.plain_rows()
    images = flag_images(samples, rows, plain, opened=request.features is None, stages=stages, neighbors=near)
    clean = outcome.round.partition.group == Group.CLEAN
    outside = flagging.off_topic(unit, clean, class_vectors(task), similarity)
    flags = flagging.cells(images, outside, {samples.ids[row] for row in decided}, test)
    given = replace(samples, labels=np.asarray(request.samples.labels))
    said = (*samples.notes, *notes, *filter(None, [unsearchable(*unit.shape)]))
    audit = make_audit(given, rows, outcome, task, settings, flags, near)
    return Fitted(outcome, task, audit.with_notes(said), said)


def as_decided(samples: Samples, decisions: Mapping[str, Decision]) -> tuple[Samples, dict[int, VerifiedLabel]]:
    """Return the samples with the labels of the decisions, and the verified labels by row.

    A row that a person has left out gets an issue. The decision on a row that has another issue is ignored.
    """
    if not decisions:
        return samples, {}
    labels, issues = np.array(samples.labels), list(samples.issues)
    verified: dict[int, VerifiedLabel] = {}
    for row, id in enumerate(samples.ids):
        if (decision := decisions.get(id)) is None or issues[row] not in ("", NO_LABEL):
            continue
        if decision.label is None:
            issues[row] = DROPPED
        else:
            given, label = int(labels[row]), samples.label_names.index(decision.label)
            verified[row] = VerifiedLabel(label, given if given >= 0 else label)
            labels[row] = label
            issues[row] = ""
    decided = replace(samples, labels=labels, issues=tuple(issues))
    # The content keys of equal images depend on the labels. The keys for the given labels are kept.
    decided.__dict__["content_keys"] = samples.content_keys
    return decided, verified


def _reporting(progress: Progress) -> Listener:
    """Return a listener that reports the progress of the training."""
    return lambda event: progress(event.step, event.steps)


def _test_images(request: Request, stages: Stages | None) -> flagging.Photos | None:
    """Return the data of the test images from which duplicates are found; None if no test image can be read."""
    assert request.held_out is not None
    samples, given = request.held_out.samples, request.held_out.features
    rows = readable_rows(samples)
    if not len(rows):
        return None
    found = given.take(rows, 0) if given else encode_rows(
        samples, rows, request.models.image, views=0, seed=request.settings.seed,
        progress=stages and stages(TESTING), cache=request.cache, elsewhere=request.elsewhere,
    )  # fmt: skip
    return flag_images(samples, rows, found.plain_rows(), opened=given is None)
