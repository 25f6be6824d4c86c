"""Tune CLIP and its kin on images whose labels are partly wrong, and learn which labels are wrong."""

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
    from srrs.train.loop import train

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
    "train": "srrs.train.loop",
}
_PACKAGES = ("methods", "screening", "tuners")


def __getattr__(name: str) -> Any:  # PEP 562: torch is imported when first needed
    if name in _PACKAGES:
        return import_module(f"srrs.{name}")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'srrs' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
