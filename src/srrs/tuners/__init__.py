"""Tuners: classifiers with a few learned parameters on top of a frozen model. `build` makes one.

Each kind of tuner has its own file. `TUNERS` lists the kinds by name.
"""

import copy
import importlib
import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from srrs.errors import SettingsError
from srrs.tuners.base import Average, Classifier, Foundation, Head, Tuner, average
from srrs.tuners.linear_probe import LinearProbe
from srrs.tuners.logistic_probe import LogisticProbe
from srrs.tuners.logistic_residual import LogisticResidual
from srrs.tuners.prompt import ClassPrompt, DescribedPrompt
from srrs.tuners.task_residual import TaskResidual

__all__ = [
    "TUNERS", "Average", "ClassPrompt", "Classifier", "DescribedPrompt", "Foundation", "Head", "LinearProbe",
    "LogisticProbe", "LogisticResidual", "TaskResidual", "Tuner", "average", "build", "tuner_class",
]  # fmt: skip

TUNERS: Mapping[str, type[Tuner]] = {
    "class-prompt": ClassPrompt,
    "described-prompt": DescribedPrompt,
    "linear-probe": LinearProbe,
    "logistic-probe": LogisticProbe,
    "logistic-residual": LogisticResidual,
    "task-residual": TaskResidual,
}
"""Kinds of tuners by name."""


def build(kind: Any, foundation: Foundation, options: Mapping[str, Any]) -> Tuner:
    """Return a new tuner in its initial state.

    Parameters
    ----------
    kind : a name in `TUNERS`, `package.module:name` for a class of your own, a class, or a tuner, which is copied.
    foundation : the frozen model and the classes from which the tuner starts.
    options : keyword arguments of the class.

    Raises
    ------
    SettingsError
        There is no such tuner, or it does not take the options.
    """
    if isinstance(kind, Tuner):
        return copy.deepcopy(kind, {id(foundation.text): foundation.text})  # the copy shares the tower
    made = tuner_class(kind)
    known = set(inspect.signature(made).parameters) - {"foundation"}
    for name in options.keys() - known:
        raise SettingsError(
            f"The tuner {made.__name__} has no option {name!r}; it has {', '.join(sorted(known)) or 'none'}."
        )
    return made(foundation, **options)


def tuner_class(kind: Any) -> type[Tuner]:
    """Return the class of a tuner, from a name in `TUNERS`, `package.module:name`, a class or a tuner.

    Raises SettingsError if there is no such tuner.
    """
    if isinstance(kind, Tuner):
        return type(kind)
    found = TUNERS.get(kind) or _outside(kind) if isinstance(kind, str) else kind
    if not isinstance(found, type) or not issubclass(found, Tuner):
        raise SettingsError(f"Expected a tuner, a class derived from srrs.tuners.Tuner, but found {found!r}.")
    return found


def _outside(name: str) -> Any:
    """Return the object that `package.module:name` names. Raises SettingsError if it does not exist."""
    if ":" not in name:
        near = get_close_matches(name, TUNERS, 1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(TUNERS)}, or name module:class"
        raise SettingsError(f"There is no tuner {name!r}; {hint}.")
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SettingsError(
            f"Expected the tuner {name!r} as package.module:class on Python's path, but {error}."
        ) from None
