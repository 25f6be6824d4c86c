"""One round of screening, rectifying and re-screening over 1,600 photographs of 100 classes.

Published: every view of every photograph through the image tower, once for each learner, the text features of all
classes anew in every batch, and BLIP on every view. Ours: the loop's own round on features encoded beforehand, with
the matcher's scores remembered.

The published round is the same work batch after batch, so one batch of 32 photographs of noise is measured and
multiplied. Our round is measured in full, with all scores known, as in every round but the first. In the first the
matcher works: its time per picture and per (picture, class) is measured on the same photographs, and multiplied by how
many it is asked for.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

import ours
import published
from common import Table, alternate, fresh_peak, timed
from models import dual_encoder, image_text_matcher, matcher_for
from srrs.config import Settings
from srrs.methods import zoo
from srrs.methods.stages import Method
from srrs.models.dual import DualEncoder
from srrs.models.matcher import MemoizedScores
from srrs.prompts.templates import MACRO
from srrs.records import Floats, Ints
from srrs.training.schedule import Schedule
from srrs.tuning import Task, match_texts
from titles import NOT_MEASURED
from words import class_names, descriptions

METHODS = {"srrs-paper": zoo.srrs_paper, "srrs": zoo.srrs}


class Sizes(NamedTuple):
    """Of the data set."""

    samples: int = 1600
    classes: int = 100
    views: int = 8
    """Those we keep of each photograph, beside the plain one."""

    @classmethod
    def of(cls, quick: bool) -> "Sizes":
        """Caltech101's, or a tenth of them."""
        return cls(160, 20, 2) if quick else cls()


def measure(quick: bool) -> Table:
    """The first and a later round of both methods."""
    model, sizes, repeats = "bundled" if quick else "vitb32", Sizes.of(quick), 1 if quick else 3
    encoder = dual_encoder(model)
    bench = Bench(dual_encoder(model, kernels="torch"), matcher_for(model), sizes.classes)
    asked = {name: Asked() for name in METHODS}
    tasks = {name: known_task(encoder, sizes, asked[name]) for name in METHODS}
    clocks = {"published": timed(bench.published_batch), "images": timed(bench.image_side), "pairs": timed(bench.pairs)}
    clocks |= {name: timed(ours_round(METHODS[name](), task)) for name, task in tasks.items()}
    seconds = alternate(clocks, repeats)

    batches = sizes.samples / published.BATCH
    theirs = batches * seconds["published"].median
    peaks = {} if quick else _peaks(model)
    table: Table = {}
    for name in METHODS:
        later = seconds[name].median
        pairs = len(asked[name].seen)
        matching = batches * (seconds["images"].median + seconds["pairs"].median * pairs / sizes.samples)
        for when, mine in (("first", later + matching), ("later", later)):
            table[f"{name}, {when} round"] = {
                "model": model,
                "photographs": sizes.samples,
                "classes": sizes.classes,
                "published_s": theirs,
                "published_spread": seconds["published"].spread,
                "ours_s": mine,
                "ours_spread": seconds[name].spread,
                "ratio": theirs / mine,
                "scores_asked": pairs if when == "first" else 0,
                "max_diff_match": bench.match_difference() if when == "first" else NOT_MEASURED,
                "published_peak_mb": peaks.get("published", NOT_MEASURED),
                "ours_peak_mb": peaks.get(name, NOT_MEASURED) if when == "later" else NOT_MEASURED,
                "measured_on": f"published: {published.BATCH} images, times {batches:g}; package: "
                + (
                    f"a later round, plus the matcher measured on the same {published.BATCH} images"
                    if when == "first"
                    else "in full"
                ),
            }
    return table


class Bench:
    """One batch of photographs of noise, with both models."""

    def __init__(self, encoder: DualEncoder, matcher: str, classes: int):
        self.encoder, self.matcher = encoder, image_text_matcher(matcher)
        names, clauses = class_names(classes), descriptions(classes)
        self.texts = match_texts(names, clauses)
        self.learners = published.learners_of(
            encoder, [MACRO.text(name) for name in names], self.texts, per_class=False
        )
        self.pictures = ours.pictures(published.BATCH, self.matcher.preprocessing.size)
        self.labels = torch.from_numpy(np.random.default_rng(ours.SEED).integers(0, classes, published.BATCH))
        self.seen = torch.stack([encoder.preprocess(picture) for picture in self.pictures])
        self.matched = torch.stack([self.matcher.preprocessing.plain(picture) for picture in self.pictures])
        self.states = self.image_side()

    def published_batch(self) -> object:
        """What a published round does with one batch."""
        published.screen(self.encoder, self.learners, self.seen.expand(published.VIEWS, -1, -1, -1, -1))
        return self._published_match(published.VIEWS)

    def image_side(self) -> torch.Tensor:
        """What our first round does once for each picture."""
        return self.matcher.ours.encode_images(self.pictures)

    def pairs(self) -> torch.Tensor:
        """What our rounds do once for each (picture, class) they ask for: here one of each picture."""
        return self.matcher.ours.scores(self.states, self.texts, torch.arange(len(self.pictures)), self.labels)

    def match_difference(self) -> float:
        """Largest difference of a score of ours from the published one, of the same picture and text."""
        return float((self.pairs() - self._published_match(views=1).cpu()).abs().max())

    def _published_match(self, views: int) -> torch.Tensor:
        texts = [self.texts[label] for label in self.labels]
        pixels = self.matched.expand(views, -1, -1, -1, -1)
        return published.match(self.matcher.model, self.matcher.tokenizer, pixels, texts)


class Asked:
    """Scores at random, all known beforehand, and which of them were asked for."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def scores(self, samples: int, classes: int) -> Callable[[Ints, Ints], Floats]:
        """Of every picture and class, remembered by the package's own memory."""
        known = MemoizedScores(_Never(), torch.empty(0), [""] * classes)  # type: ignore[arg-type]
        known.know(np.random.default_rng(ours.SEED).random((samples, classes)))

        def match(rows: Ints, of: Ints) -> Floats:
            self.seen.update((rows * classes + of).tolist())
            return known(rows, of)

        return match


class _Never:
    """No matcher: every score is known."""


def known_task(model: DualEncoder, sizes: Sizes, asked: Asked | None) -> Task:
    """A task on random features, whose scores are all known; without any where nothing is asked."""
    match = asked.scores(sizes.samples, sizes.classes) if asked else None
    return ours.task_of(model, sizes.classes, ours.random_views(model, sizes.samples, sizes.views), match)


def ours_round(method: Method, task: Task) -> Callable[[], object]:
    """The round that ends every run of the loop, in a run of no steps."""
    untrained = replace(method, tunes=False)
    return lambda: ours.run(untrained, task, Schedule(), Settings.of({"matcher": "none"}))


def one_published(model: str) -> Callable[[], object]:
    """One batch of a published round, ready to be done."""
    return Bench(dual_encoder(model, kernels="torch"), matcher_for(model), Sizes().classes).published_batch


def one_ours(model: str, method: str) -> Callable[[], object]:
    """A later round of ours, ready to be done."""
    return ours_round(METHODS[method](), known_task(dual_encoder(model), Sizes(), Asked()))


def _peaks(model: str) -> dict[str, float]:
    peaks = {"published": fresh_peak("round", "one_published", model=model).after}
    return peaks | {name: fresh_peak("round", "one_ours", model=model, method=name).after for name in METHODS}
