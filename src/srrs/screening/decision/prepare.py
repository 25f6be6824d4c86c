"""From the caller's arrays to the scores of each source, for the sample of images and for any other block of images.

N images, n of them at given positions, C classes, D feature size, K candidate classes per image, R dimensions of the
centered features.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from srrs.mapped import release
from srrs.screening.decision import discriminant
from srrs.screening.decision.evidence import CELLS, DENSE, FOLDS, Inputs, balancing, blocks, candidates, narrowed
from srrs.screening.decision.hypotheses import ZERO_SHOT, Sample

Floats = NDArray[np.floating]
Ints = NDArray[np.integer]

MATCHER, PREDICTIONS = "matcher", "predictions"
"""Names of the matcher and of the given predictions as sources."""


@dataclass(frozen=True)
class Reader:
    """Reads the scores of any images, in the same way for the sample and for other images."""

    inputs: Inputs
    offset: Floats | None
    """(C,) offset that balances the zero-shot log-probabilities to the label shares; None without them."""
    even: Floats | None
    """(C,) second offset. Both offsets together balance the log-probabilities to equal classes."""
    centering: discriminant.Centering | None
    given: tuple[Floats, Floats] | None
    """Coefficients (C, R) and costs (C,) of a discriminant that is fitted to the given labels. It finds candidate
    classes if features are the only source and not all classes are candidates; else None."""

    def read(self, rows: Ints) -> Sample:
        """Return the images at the positions `rows` (n,), with the scores of their candidate classes by each source."""
        inputs, labels = self.inputs, self.inputs.labels[rows]
        unseen: dict[str, Floats] = {}
        learned: dict[str, Floats] = {}
        if inputs.zero_shot is not None and self.offset is not None:
            unseen[ZERO_SHOT] = _leveled(inputs.log_zero_shot(rows) + self.offset)
        if inputs.match is not None:
            unseen[MATCHER] = _leveled(inputs.match_odds(rows))
        if inputs.pred_probs is not None:
            learned[PREDICTIONS] = inputs.log_predicted(rows)
        centered = None
        if inputs.features is not None and self.centering is not None:
            centered = self.centering(inputs.features[rows])
            release(inputs.features)
        known = [*unseen.values(), *learned.values()] or [self._nearest(rows, centered)]
        index = candidates(known, labels, inputs.classes)
        unseen = {name: narrowed(scores, index) for name, scores in unseen.items()}
        learned = {name: narrowed(scores, index) for name, scores in learned.items()}
        return Sample(labels, inputs.fold[rows], inputs.classes, index, unseen, learned, centered, even=self.even)

    def read_all(self, rows: Ints) -> Sample:
        """Return the images at the positions `rows` (n,) as a sample for fits, with the scatter of their features."""
        sample = self._joined(rows)
        if sample.centered is None:
            return sample
        return replace(sample, scatter=discriminant.fold_scatter(sample.centered, sample.fold, FOLDS))

    def _joined(self, rows: Ints) -> Sample:
        """Call `read` on blocks of the rows and join the results. No block keeps its arrays (n, C) of all classes."""
        width = max(self.inputs.classes, 1)
        parts = [self.read(rows[part]) for part in blocks(len(rows), width)]
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        return Sample(
            self.inputs.labels[rows],
            self.inputs.fold[rows],
            first.classes,
            np.concatenate([part.index for part in parts])
            if first.index.shape[1] < first.classes
            else np.broadcast_to(np.arange(first.classes), (len(rows), first.classes)),
            {name: np.concatenate([part.unseen[name] for part in parts]) for name in first.unseen},
            {name: np.concatenate([part.learned[name] for part in parts]) for name in first.learned},
            None if first.centered is None else np.concatenate([p.centered for p in parts if p.centered is not None]),
            even=self.even,
        )

    def _nearest(self, rows: Ints, centered: Floats | None) -> Floats:
        """Return scores (n, C) that find candidates if features are the only source; zeros if all are candidates."""
        if centered is None or self.given is None:
            return np.zeros((len(rows), self.inputs.classes), np.float32)
        weight, cost = self.given
        return np.asarray(centered @ weight.T - cost)


def prepare(inputs: Inputs, rows: Ints) -> Reader:
    """Return a reader, whose zero-shot offsets and centering are fitted on the images at the positions `rows` (n,)."""
    offset, even = None, None
    if inputs.zero_shot is not None:
        counts = np.bincount(inputs.labels, minlength=inputs.classes)
        target = (counts + 2) / (len(inputs.labels) + 2 * inputs.classes)
        few = rows[: max(1, CELLS // inputs.classes)]  # rows are sorted by content key, so these are a random sample
        log_probs = inputs.log_zero_shot(few)
        offset = balancing(log_probs, target)
        even = balancing(log_probs, np.full(inputs.classes, 1 / inputs.classes)) - offset
    centering = None if inputs.features is None else discriminant.fit_centering(np.asarray(inputs.features[rows]))
    alone = inputs.zero_shot is None and inputs.match is None and inputs.pred_probs is None
    given = None
    if centering is not None and alone and inputs.classes > DENSE:
        given = _given(inputs, rows, centering)
    return Reader(inputs, offset, even, centering, given)


def _given(inputs: Inputs, rows: Ints, centering: discriminant.Centering) -> tuple[Floats, Floats]:
    """Return the discriminant that is fitted to the given labels of the images at the positions `rows` (n,)."""
    assert inputs.features is not None
    size = len(centering.center) if centering.towards is None else centering.towards.shape[1]
    sums, scatter = np.zeros((inputs.classes, size), np.float32), np.zeros((size, size), np.float32)
    for part in blocks(len(rows), inputs.features.shape[1]):
        centered = centering(inputs.features[rows[part]])
        np.add.at(sums, inputs.labels[rows[part]], centered)
        scatter += centered.T @ centered
    return discriminant.discriminant(
        sums, np.bincount(inputs.labels[rows], minlength=inputs.classes).astype(np.float64), scatter
    )


def _leveled(scores: Floats) -> Floats:
    """Return the scores (n, C) minus the mean of each row.

    A log-likelihood is defined up to a constant per image. Without the mean, scores of different images are comparable.
    """
    return np.asarray(scores - scores.mean(1, keepdims=True), np.float32)
