"""The default decision as the record that passes between the stages."""

import numpy as np

from srrs.records import Partition, Thresholds
from srrs.screening.decision.decide import CERTAIN
from srrs.screening.decision.verdicts import Verdicts


def partition_of(verdicts: Verdicts) -> Partition:
    """Return the verdicts as screening's result, with the report as findings."""
    report = verdicts.report
    bounds = Thresholds("p_clean", np.array([1 - CERTAIN]), np.array([CERTAIN]), verdicts.p_clean)
    return Partition(
        group=verdicts.group,
        p_clean=verdicts.p_clean,
        noise=verdicts.noise,
        thresholds=bounds,
        posterior=verdicts.posterior,
        rectified=verdicts.target,
        quality=verdicts.quality,
        findings=report.findings(),
        trusted=report.trusted,
    )
