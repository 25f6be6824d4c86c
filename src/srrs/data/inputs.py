"""The input of a command or a classifier: the user's rows and, if the user gives embeddings, their features.

N rows, V views, D feature size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from srrs.cluster import Spread
from srrs.data import hf
from srrs.data.arrays import KINDS
from srrs.data.embeddings import Embeddings, is_embeddings, joined, read_embeddings, table_of
from srrs.data.options import ReadKeywords, ReadOptions
from srrs.data.readers import label_key, table_samples
from srrs.data.remote import fetched, fetched_embeddings, is_remote
from srrs.data.rows import Samples
from srrs.data.samples import Progress, checked, read_source
from srrs.errors import DataError
from srrs.records import Features


@dataclass(frozen=True, eq=False)
class Inputs:
    """Checked samples, and their features if the user gave embeddings."""

    samples: Samples
    features: Features | None = None
    """Features (N, D) and (N, V, D) of the rows; None if the images have to be encoded."""
    embeddings: Embeddings | None = None
    """The embeddings from which the features come."""


def read_inputs(
    source: Any,
    labels: Sequence[Any] | None = None,
    *,
    features: Any = None,
    class_vectors: Any = None,
    bare: bool = False,
    progress: Progress | None = None,
    spread: Spread | None = None,
    **keywords: Unpack[ReadKeywords],
) -> Inputs:
    """Read rows from a source that `read` takes, or from embeddings, and check them.

    If there is a model, class vectors in a file of embeddings are not used, and a note states this.

    Parameters
    ----------
    source : a source that `read` takes, or embeddings with their labels; None if `features` contain the rows.
    labels : labels of a list or of an array of embeddings.
    features : embeddings of the rows, as `read_embeddings` takes them, or their URL. With embeddings, no image is
        opened.
    class_vectors : as in `read_embeddings`, or the URL of a file.
    bare : True if there is no model, so that the classes may come from the class vectors.
    progress : function that is called with the number of opened images and their total.
    spread : function that opens the images on a cluster.
    keywords : the fields of `ReadOptions`, as in `read`.

    Raises
    ------
    DataError
        The errors of `read` and `read_embeddings`; neither a source nor features are given; or `class_vectors` are
        given although there is a model.
    """
    if class_vectors is not None and not bare:
        raise DataError(
            "Expected class vectors only without a model, which would make its own from the class names. Give --model "
            "none to use them, or leave them out."
        )
    options = ReadOptions.of("read_inputs", **keywords)
    if is_remote(source):
        source = fetched_embeddings(source) or source
    if is_remote(features):
        features = _copied(features)
    if is_remote(class_vectors):
        class_vectors = fetched(class_vectors)
    if features is None and not is_embeddings(source):
        if source is None:
            raise DataError("Expected images or embeddings, but got neither: give a source, or --features FILE.")
        return Inputs(checked(read_source(source, labels, options), progress, spread))
    embeddings = read_embeddings(source if features is None else features, class_vectors, options.class_names)
    if options.class_names is None and bare and embeddings.classes:
        options = options.with_(class_names=embeddings.classes.names)
    options = options.with_(pictured=False)
    if features is not None and source is not None and not is_embeddings(source):
        if embeddings.ids is None and isinstance(source, str | Path) and Path(source).is_dir():
            raise DataError(
                f"Expected ids in {embeddings.source}, to find the images of a folder by their path below it, but "
                "found none. Add them, or give a table whose rows are in the same order."
            )
        samples = read_source(source, labels, options)
    else:
        table = table_of(embeddings, bool(options.labeled) and labels is None)
        if labels is not None:
            if len(labels) != len(embeddings):
                raise DataError(
                    f"Expected one label per embedding, but got {len(embeddings)} and {len(labels)} labels."
                )
            table["label"] = [label_key(label, options.class_names) for label in labels]
        samples = table_samples(table, hf.renamed(options).with_(id_column=None), embeddings.source)
    if embeddings.classes and options.labeled and not bare:
        note = f"The class vectors in {embeddings.source} are not used, since there is a model; --model none uses them."
        samples = replace(samples, notes=(*samples.notes, note))
    samples, aligned = joined(samples, embeddings)
    return Inputs(samples, aligned, embeddings)


def _copied(url: str) -> Path:
    """Return the copy of embeddings behind a URL. Raises DataError if the URL has none."""
    copy = fetched_embeddings(url)
    if copy is None:
        raise DataError(
            f"Expected embeddings as {', '.join(KINDS)} or a folder of srrs embed at {url}, but found neither."
        )
    return copy
