"""Conversion of the default decision to the record that the stages exchange."""

import numpy as np

from srrs.core.projection import KEPT, MOST
from srrs.records import Finding, Partition, Thresholds
from srrs.screening.decision.decide import CERTAIN
from srrs.screening.decision.verdicts import Report, Verdicts

SUBJECTS = {
    "zero-shot": "Zero-shot prediction, balanced over the classes,",
    "matcher": "The matcher",
    "images": "Prediction from the other images",
    "predictions": "The given predictions",
}
"""Each source of evidence as the subject of a sentence."""


def partition_of(verdicts: Verdicts, feature_size: int = 0) -> Partition:
    """Return the verdicts as a partition, with the report as findings.

    `feature_size` is the size D of the features. If features of this size were projected, a finding states it.
    """
    report = verdicts.report
    findings = findings_of(report)
    if feature_size > MOST:
        text = f"Features of {feature_size:,} numbers were projected onto {KEPT:,} random directions to save memory."
        findings = (*findings, Finding("info", text))
    bounds = Thresholds("p_clean", np.array([1 - CERTAIN]), np.array([CERTAIN]), verdicts.p_clean)
    return Partition(
        group=verdicts.group,
        p_clean=verdicts.p_clean,
        noise=verdicts.noise,
        thresholds=bounds,
        posterior=verdicts.posterior,
        rectified=verdicts.target,
        quality=verdicts.quality,
        findings=findings,
        trusted=report.trusted,
    )


def findings_of(report: Report) -> tuple[Finding, ...]:
    """Return the report as findings: advice, contradictions, the source with the most weight, all sources, limits."""
    found = [Finding("warning", sentence) for sentence in report.advice]
    if report.contradictions:
        sentence = "The model and the labels contradict each other in these classes:"
        found.append(Finding("info" if report.trusted else "warning", sentence, report.contradictions))
    decided = SUBJECTS.get(report.decided_by, report.decided_by)
    found.append(Finding("info", f"{decided} had the most weight in the decision."))
    for source in report.sources:
        subject = SUBJECTS.get(source.name, source.name)
        right = f"and is right for an estimated {100 * source.reliability:.0f} %"
        found.append(
            Finding(
                "info", f"{subject} gives the given label for {100 * source.agreement:.0f} % of the images {right}."
            )
        )
    if report.agreement is not None:
        sentence = f"Zero-shot prediction and the other images agree on {100 * report.agreement:.0f} % of the images."
        found.append(Finding("info", sentence))
    return (*found, Finding("info", report.limits))
