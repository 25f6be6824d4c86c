"""The default decision as the record that passes between the stages."""

import numpy as np

from srrs.records import Finding, Partition, Thresholds
from srrs.screening.decision.decide import CERTAIN
from srrs.screening.decision.verdicts import Report, Verdicts


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
        findings=findings_of(report),
        trusted=report.trusted,
    )


def findings_of(report: Report) -> tuple[Finding, ...]:
    """Return the report as sentences: advice, contradictions, which source decided, what the estimate cannot see."""
    found = [Finding("warning", sentence) for sentence in report.advice]
    if report.contradictions:
        sentence = "The model and the labels contradict each other in these classes:"
        found.append(Finding("info" if report.trusted else "warning", sentence, report.contradictions))
    found.append(Finding("info", f"The evidence of the {report.decided_by} decided."))
    for source in report.sources:
        share = f"is right for an estimated {source.reliability:.0%} of the images"
        found.append(Finding("info", f"{source.name} predicts {source.agreement:.0%} of the given labels and {share}."))
    if report.agreement is not None:
        sentence = f"Zero-shot prediction and images alone agree on {report.agreement:.0%} of the images."
        found.append(Finding("info", sentence))
    return (*found, Finding("info", report.limits))
