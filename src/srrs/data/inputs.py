"""What a command or a classifier works on: the user's rows, and their features where they bring them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from srrs.data.embeddings import Embeddings, is_embeddings, joined, read_embeddings, table_of
from srrs.data.rows import Samples
from srrs.data.samples import Progress, checked, from_table, label_key, read
from srrs.errors import DataError
from srrs.records import Features


@dataclass(frozen=True, eq=False)
class Inputs:
    """Samples that were checked, and what was computed of them elsewhere."""

    samples: Samples
    features: Features | None = None
    """(N, D) and (N, V, D), row by row; None where pictures are to be encoded."""
    embeddings: Embeddings | None = None
    """Where the features are from."""


def read_inputs(
    source: Any,
    labels: Sequence[Any] | None = None,
    *,
    features: Any = None,
    class_vectors: Any = None,
    class_names: Sequence[str] | None = None,
    bare: bool = False,
    labelled: bool = True,
    progress: Progress | None = None,
    **columns: Any,
) -> Inputs:
    """Read rows from a source that `read` takes, or from embeddings, and check them.

    Parameters
    ----------
    source: what `read` takes; or embeddings that bring their labels along; None if `features` do.
    labels: labels of a list or of an array of embeddings.
    features: embeddings of the rows, as `read_embeddings` takes them; then no picture is opened.
    class_vectors: as in `read_embeddings`.
    class_names: the classes and their order, where they are fixed beforehand.
    bare: True where there is no model, so that class vectors decide what the classes are.
    labelled, columns: as in `read`.

    Raises
    ------
    DataError
        As `read` and `read_embeddings`; or neither a source nor features are given; or class vectors are named beside a
        model. Where they only lie in the file of the embeddings, a note says that they are not used.
    """
    if class_vectors is not None and not bare:
        raise DataError(
            "Expected class vectors only without a model, which would make its own from the class names. Give --model "
            "none to use them, or leave them out."
        )
    options = {"labelled": labelled, **columns}
    if features is None and not is_embeddings(source):
        if source is None:
            raise DataError("Expected photographs or embeddings, but got neither: give a source, or --features FILE.")
        return Inputs(checked(read(source, labels, class_names=class_names, **options), progress))
    embeddings = read_embeddings(source if features is None else features, class_vectors, class_names)
    if class_names is None and bare and embeddings.classes:
        class_names = embeddings.classes.names
    if features is not None and source is not None and not is_embeddings(source):
        if embeddings.ids is None and isinstance(source, str | Path) and Path(source).is_dir():
            raise DataError(
                f"Expected ids in {embeddings.source}, to find the photographs of a folder by their path below it, but "
                "found none. Add them, or give a table whose rows are in the same order."
            )
        samples = read(source, labels, class_names=class_names, pictured=False, **options)
    else:
        table = table_of(embeddings, labelled and labels is None)
        if labels is not None:
            if len(labels) != len(embeddings):
                raise DataError(
                    f"Expected one label per embedding, but got {len(embeddings)} and {len(labels)} labels."
                )
            table["label"] = [label_key(label, class_names) for label in labels]
        options = {name: option for name, option in options.items() if name in ("labelled", "names", "images")}
        options["images"] = options.get("images") or "."
        samples = from_table(table, class_names=class_names, pictured=False, source=embeddings.source, **options)
    if embeddings.classes and labelled and not bare:
        note = f"The class vectors in {embeddings.source} are not used, since there is a model; --model none uses them."
        samples = replace(samples, notes=(*samples.notes, note))
    samples, aligned = joined(samples, embeddings)
    return Inputs(samples, aligned, embeddings)
