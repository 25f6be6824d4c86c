"""Tune CLIP and similar models on images whose labels are partly wrong, and find the wrong labels.

`audit_labels` audits arrays. `RobustClassifier` tunes on images or embeddings. `train` is the training loop. The
submodules `methods`, `screening` and `tuners` contain the stages and tuners of a method.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from srrs import methods, screening, tuners
    from srrs.array_audit import audit_labels
    from srrs.audit.table import Audit
    from srrs.config import Settings
    from srrs.errors import SrrsError
    from srrs.estimator import RobustClassifier
    from srrs.methods.stages import Method
    from srrs.models.hub import load_model
    from srrs.training.loop import train

__version__ = "0.1.0"
__all__ = [
    "Audit", "Method", "RobustClassifier", "Settings", "SrrsError", "audit_labels", "load_model", "methods",
    "screening", "train", "tuners",
]  # fmt: skip

_HOMES = {
    "Audit": "srrs.audit.table",
    "Method": "srrs.methods.stages",
    "RobustClassifier": "srrs.estimator",
    "Settings": "srrs.config",
    "SrrsError": "srrs.errors",
    "audit_labels": "srrs.array_audit",
    "load_model": "srrs.models.hub",
    "train": "srrs.training.loop",
}
"""Module of each public name."""


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562), because importing torch takes seconds."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in __all__:
        return import_module(f"srrs.{name}")
    raise AttributeError(f"module 'srrs' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, for `dir(srrs)` and completion."""
    return sorted([*__all__, "__version__"])
