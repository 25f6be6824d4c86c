"""Complete runs: from the rows of a user's dataset to an audit of the labels, or to a tuned classifier and the audit.

N samples of a task, C classes, V augmented views, D feature size. A row is a row of the user's dataset.
"""

from srrs.pipeline.encoding import (
    encode_rows,
    features_of,
    make_task,
    readable_rows,
    trainable_rows,
    view_source,
    write_features,
)
from srrs.pipeline.loading import check_made_by, load_models, workers
from srrs.pipeline.request import ENCODING, LOOKING, MATCHING, TESTING, TUNING, Fitted, Request, Stages, stages_of
from srrs.pipeline.result import class_name_notes, flag_images, make_audit, thumbnails, user_rows
from srrs.pipeline.run import as_decided, audit, fit

__all__ = [
    "ENCODING", "LOOKING", "MATCHING", "TESTING", "TUNING", "Fitted", "Request", "Stages", "as_decided", "audit",
    "check_made_by", "class_name_notes", "encode_rows", "features_of", "fit", "flag_images", "load_models",
    "make_audit", "make_task", "readable_rows", "stages_of", "thumbnails", "trainable_rows", "user_rows",
    "view_source", "workers", "write_features",
]  # fmt: skip
