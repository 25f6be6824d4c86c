"""The report of the decision: which source decided, where sources contradict each other, and advice for the user.

N images, K candidate classes per image.
"""

import numpy as np
from numpy.typing import NDArray

from srrs.screening.decision.agreement import above_chance
from srrs.screening.decision.choice import Choice
from srrs.screening.decision.hypotheses import IMAGES, ZERO_SHOT, Hypothesis, Sample
from srrs.screening.decision.prepare import PREDICTIONS
from srrs.screening.decision.verdicts import Report, Source

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

USELESS = 0.05
"""The model counts as unreliable if zero-shot prediction has a smaller share of the influence."""
LIMITS = (
    "The estimate cannot see mistakes that look like the other class: a wrong label between two classes that neither "
    "the model nor the other images of the class tell apart counts as right."
)

UNINFORMED = (
    "This audit cannot tell right labels from wrong ones: no source of evidence predicts the given labels more often "
    "than by chance. Either the features do not show the classes, or the labels are random. Check that the labels "
    "belong to these images, use another model, or label more images per class."
)


def sources_of(sample: Sample, hypothesis: Hypothesis) -> tuple[Source, ...]:
    """Return a description of each source of a fitted hypothesis."""
    found = []
    for name, scores in hypothesis.scores.items():
        predicted = sample.predicted(scores)
        chosen = np.take_along_axis(hypothesis.fit.posterior, predicted[:, None], 1)[:, 0]
        agrees = np.take_along_axis(sample.index, predicted[:, None], 1)[:, 0] == sample.labels
        reliability = float(chosen.mean(dtype=np.float64))
        saw = name in (IMAGES, PREDICTIONS)
        found.append(Source(name, hypothesis.scales[name], reliability, float(agrees.mean()), saw))
    return tuple(found)


def influence(hypothesis: Hypothesis) -> dict[str, float]:
    """Return the share of each source in the pooled evidence, from 0 to 1.

    The influence of a source is the mean over the images of the standard deviation over the classes of its scaled
    scores.
    """
    spread = {
        name: hypothesis.scales[name] * float(scores.std(axis=1).mean(dtype=np.float64))
        for name, scores in hypothesis.scores.items()
    }
    total = sum(spread.values()) or 1.0
    return {name: value / total for name, value in spread.items()}


def report_of(sample: Sample, choice: Choice, uninformed: bool) -> Report:
    """Return the report on the chosen hypothesis. `uninformed` is the value of `is_uninformed`."""
    hypothesis, contradictions = choice.hypothesis, choice.contradictions
    sources, share = sources_of(sample, hypothesis), influence(hypothesis)
    knows = False if choice.ignored else None
    if ZERO_SHOT in hypothesis.scores:
        of_labels = next(source.agreement for source in sources if source.name == ZERO_SHOT)
        knows = share[ZERO_SHOT] >= USELESS and max(of_labels, choice.agreement or 0.0) >= above_chance(sample)
    trusted = knows is not False and hypothesis.fit.rate < 0.75 and not uninformed
    return Report(
        sources,
        max(share, key=lambda name: share[name]),
        hypothesis.name,
        choice.agreement,
        knows,
        tuple(int(k) for k in contradictions),
        trusted,
        _advice(knows, choice, uninformed),
        LIMITS,
    )


def _advice(knows: bool | None, choice: Choice, uninformed: bool) -> tuple[str, ...]:
    """Return the sentences of advice for the user.

    `knows` is the value of `Report.model_knows`, and `uninformed` that of `is_uninformed`.
    """
    if uninformed:
        return (UNINFORMED,)
    hypothesis, contradictions = choice.hypothesis, choice.contradictions
    sentences = []
    if knows is False:
        sentences.append(
            "The model does not know these classes: its predictions hardly agree with the labels or the images, so the "
            "images alone decided. Check the class names (--names), use another model, or audit with --model none. If "
            "the names are right and most labels are wrong in a pattern, use --trust model."
        )
    elif len(contradictions):
        sentences.append(
            f"In {len(contradictions)} classes the model and the labels contradict each other, and the "
            f"{hypothesis.name} decided. Check the names of these classes (--names), or "
            "choose with --trust labels or --trust model."
        )
    if not choice.proven and hypothesis.fit.rate >= 1 / len(hypothesis.fit.posterior):
        sentences.append(
            "Hard images explain the data as well as wrong labels do, so no label is changed. The ranking still puts "
            "the most doubtful labels first."
        )
    if hypothesis.fit.rate >= 0.5:
        sentences.append("More than half of the labels seem wrong. Look at some of them before you apply any change.")
    return tuple(sentences)
