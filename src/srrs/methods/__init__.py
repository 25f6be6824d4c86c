"""Methods: short compositions of stages. `METHODS` lists the methods, and `method("srrs(tuners=both)")` makes one."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from srrs.methods.spec import method
    from srrs.methods.stages import MACRO, MICRO, PROBE, LabeledBatch, Method, TunerSpec, one_round, reads
    from srrs.methods.zoo import METHODS

__all__ = ["MACRO", "METHODS", "MICRO", "PROBE", "LabeledBatch", "Method", "TunerSpec", "method", "one_round", "reads"]

_HOMES = {"method": "spec", "METHODS": "zoo"}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used (PEP 562), because importing torch takes seconds."""
    if name not in __all__:
        raise AttributeError(f"module 'srrs.methods' has no attribute {name!r}")
    return getattr(import_module(f"srrs.methods.{_HOMES.get(name, 'stages')}"), name)


def __dir__() -> list[str]:
    """Return the public names, for `dir(srrs.methods)` and completion."""
    return sorted(__all__)
