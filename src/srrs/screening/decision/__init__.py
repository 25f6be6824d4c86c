"""The default decision: from arrays of evidence to verdicts on every label. See docs/decision.md."""

from srrs.screening.decision.choice import Trust
from srrs.screening.decision.decide import decide
from srrs.screening.decision.verdicts import Report, Source, Verdicts

__all__ = ["Report", "Source", "Trust", "Verdicts", "decide"]
