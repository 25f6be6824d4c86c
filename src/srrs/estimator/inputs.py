"""Functions that convert the inputs of a classifier (matrices, tuners, trusted labels) for the pipeline."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srrs.errors import SettingsError

if TYPE_CHECKING:
    from srrs.audit.decisions import Decision
    from srrs.data.rows import Samples
    from srrs.methods.stages import TunerSpec


def is_matrix(X: Any, y: Any = None, *, fitted: bool = False) -> bool:  # noqa: N803
    """Return whether `X` is a matrix of numbers with complete labels, which the checks of scikit-learn can validate.

    If a label is missing (None or ''), the result is False. `read_inputs` then gives such rows the issue `no label`.
    With `fitted`, labels are not required.
    """
    if y is None and not fitted:
        return False
    if (
        y is not None
        and not hasattr(y, "dtype")
        and isinstance(y, Sequence)
        and any(label in (None, "") for label in y)
    ):
        return False
    if hasattr(X, "columns"):
        return all(getattr(dtype, "kind", "O") in "fiub" for dtype in getattr(X, "dtypes", ["O"]))
    if hasattr(X, "tocsr"):
        return True
    if hasattr(X, "__array__"):
        return getattr(X, "ndim", 2) != 3
    return isinstance(X, list) and bool(X) and isinstance(X[0], list | tuple | int | float)


def tuner_spec(tuner: Any) -> "TunerSpec":
    """Return the specification of one of the parameter `tuners`. It has the name of the tuner's class."""
    from srrs.methods.stages import TunerSpec

    if isinstance(tuner, TunerSpec):
        return tuner
    name = tuner.split(":")[-1] if isinstance(tuner, str) else getattr(tuner, "__name__", type(tuner).__name__)
    return TunerSpec(name, tuner)


def certain(
    trusted: str | Path | Mapping[Any, Any], samples: "Samples", class_names: Sequence[str] | None = None
) -> "dict[str, Decision]":
    """Return the decisions on verified labels, by id.

    Parameters
    ----------
    trusted : path of the decisions.csv of a review page, or a mapping from ids to classes.
    samples : the samples to which the ids refer.
    class_names : (C,) the class names, if labels are positions in them.

    Raises
    ------
    SettingsError
        `trusted` is neither a path nor a mapping.
    DataError
        The decisions do not match the samples, see `read_trusted` and `trusted_labels` in `srrs.audit.decisions`.
    """
    from srrs.audit.decisions import read_trusted, trusted_labels
    from srrs.data.samples import label_key
    from srrs.pipeline import user_rows

    if isinstance(trusted, str | Path):
        return read_trusted(trusted, user_rows(samples))
    if not isinstance(trusted, Mapping):
        raise SettingsError(
            "expected trusted to be the path of a decisions.csv or a mapping from ids to classes, but found "
            f"{type(trusted).__name__}"
        )
    own = dict(zip(samples.class_names, samples.label_names, strict=True))
    own |= zip(samples.class_keys, samples.label_names, strict=True)
    keys = {str(id): None if label is None else label_key(label, class_names) for id, label in trusted.items()}
    return trusted_labels({id: key and own.get(key, key) for id, key in keys.items()}, user_rows(samples))
