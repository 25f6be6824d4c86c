"""Screening: functions on arrays that decide which labels are correct.

Every function here is imported from a module of this package when it is first used, as in `screening.gmm_bands(loss)`.
A screening rule returns a `Partition`; `joint_thresholds` also returns a noise rate. `dual_t`, `hoc` and
`fit_transition` estimate a transition matrix. `decide` is the default decision and returns `Verdicts`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from srrs.screening.clipcleaner import agreement
    from srrs.screening.confident import confident_learning
    from srrs.screening.corrected import forward_corrected, mbem, volminnet
    from srrs.screening.decision import decide
    from srrs.screening.detector import by_detectors
    from srrs.screening.estimators import dual_t, hoc
    from srrs.screening.joapr import joint_thresholds
    from srrs.screening.joint import small_joint
    from srrs.screening.mixtures import gmm_bands, gmm_two_way
    from srrs.screening.multimodal import lemon
    from srrs.screening.optimal_transport import transport
    from srrs.screening.pooled import by_transition
    from srrs.screening.simifeat import simifeat_rank, simifeat_vote
    from srrs.screening.similarity import robust_similarity
    from srrs.screening.transition import fit_transition

__all__ = [
    "agreement", "by_detectors", "by_transition", "confident_learning", "decide", "dual_t", "fit_transition",
    "forward_corrected", "gmm_bands", "gmm_two_way", "hoc", "joint_thresholds", "lemon", "mbem", "robust_similarity",
    "simifeat_rank", "simifeat_vote", "small_joint", "transport", "volminnet",
]  # fmt: skip

_HOMES = {
    "agreement": "clipcleaner",
    "by_detectors": "detector",
    "by_transition": "pooled",
    "confident_learning": "confident",
    "decide": "decision",
    "dual_t": "estimators",
    "fit_transition": "transition",
    "forward_corrected": "corrected",
    "gmm_bands": "mixtures",
    "gmm_two_way": "mixtures",
    "hoc": "estimators",
    "joint_thresholds": "joapr",
    "lemon": "multimodal",
    "mbem": "corrected",
    "robust_similarity": "similarity",
    "simifeat_rank": "simifeat",
    "simifeat_vote": "simifeat",
    "small_joint": "joint",
    "transport": "optimal_transport",
    "volminnet": "corrected",
}


def __getattr__(name: str) -> Any:
    """Import a function when it is first used (PEP 562), because importing scikit-learn and torch takes seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module 'srrs.screening' has no attribute {name!r}")
    return getattr(import_module(f"srrs.screening.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Return the names of the functions, for `dir(srrs.screening)` and completion."""
    return sorted(__all__)
