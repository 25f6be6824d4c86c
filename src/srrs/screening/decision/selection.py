"""The choice of the hypothesis that decides, from a few numbers about each hypothesis.

The "labels" hypothesis assumes nearly uniform noise. It decides unless a hypothesis that starts from the label-free
sources (zero-shot prediction and matcher) explains the given labels better, or finds unseen mistakes. Mistakes that
most images of a class share are *unseen*: the "labels" hypothesis does not find them, because class means that are
fitted to the mistakes confirm them. Which hypothesis is accepted also depends on the reliability of the label-free
sources: the share of images for which zero-shot prediction and image prediction agree.

The *gain* of a hypothesis is its log-likelihood per label, minus that of "labels".
"""

from collections.abc import Mapping
from dataclasses import dataclass

LABELS, SHARP, TEMPERED, MILD = "labels", "sharp", "tempered", "mild"


@dataclass(frozen=True)
class Thresholds:
    """The constants of the selection. `recipes/thresholds.py` measures the effect of each."""

    agree: float = 0.55
    """Least agreement of zero-shot prediction and image prediction for the sharp hypothesis."""
    gain: float = 0.1
    """Least gain of the sharp and of the tempered hypothesis. With unseen mistakes, a gain of 0 is enough for the
    tempered hypothesis, and the gain of the sharp hypothesis may be negative (see `cost`)."""
    seen: float = 0.25
    """Mistakes of a hypothesis are unseen if the share of labels that "labels" finds wrong is at most this fraction."""
    material: float = 0.05
    """Least difference between the shares of wrong labels under a hypothesis and under "labels", for unseen
    mistakes."""
    cost: float = 4.0
    """The gain of the sharp hypothesis may be as low as -cost (A - cost_from) u, where A is the agreement and u the
    share of unseen mistakes."""
    cost_from: float = 0.4
    """See `cost`."""
    random: float = 0.4
    """Noise rate of "labels" from which the tempered hypothesis is not chosen. Such noise is random, and "labels" finds
    it as well. The same holds if "labels" finds at least the noise rate of the tempered hypothesis."""


@dataclass(frozen=True)
class Facts:
    """The numbers from which the selection chooses a hypothesis. Mappings have the names of the hypotheses as keys."""

    agreement: float
    """Reliability of the label-free sources: how often they agree with the image prediction (`reliability_of`)."""
    chance: float
    """Agreement below which a model has no information about the classes."""
    gain: Mapping[str, float]
    """Log-likelihood per label, minus that of "labels"."""
    rate: Mapping[str, float]
    """Noise rate of each hypothesis, from 0 to 1."""
    wrong: Mapping[str, float]
    """Share of images that have a wrong label under the hypothesis, and show one of the classes."""

    def unseen(self, name: str, at: Thresholds) -> float:
        """Return the share of images whose label is wrong under the hypothesis, but not under "labels".

        The share is 0 if the mistakes are not unseen: if "labels" finds many of them, or if there are few.
        """
        more, most = self.wrong[name] - self.wrong[LABELS], at.seen * self.wrong[name]
        return more if more >= at.material and self.wrong[LABELS] <= most else 0.0


def selected(facts: Facts, at: Thresholds) -> str:
    """Return the name of the hypothesis that decides: "sharp", "tempered", "mild" or "labels"."""
    if _sharp_pays(facts, at) and facts.gain[SHARP] >= facts.gain[TEMPERED]:
        return SHARP
    if facts.agreement < facts.chance:
        return LABELS
    is_random = facts.rate[LABELS] >= min(at.random, facts.rate[TEMPERED])
    least = 0.0 if facts.unseen(TEMPERED, at) else at.gain
    if facts.gain[TEMPERED] >= least and not is_random:
        return TEMPERED
    return MILD if facts.gain[MILD] >= 0 else LABELS


def _sharp_pays(facts: Facts, at: Thresholds) -> bool:
    """Return whether the sharp hypothesis is reliable, and its gain large enough for the mistakes that it finds."""
    if facts.agreement < at.agree:
        return False
    unseen = facts.unseen(SHARP, at)
    may_cost = at.cost * (facts.agreement - at.cost_from) * unseen
    return facts.gain[SHARP] >= at.gain or (unseen > 0 and facts.gain[SHARP] >= -may_cost)
