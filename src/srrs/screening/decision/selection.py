"""Which hypothesis decides, from a few numbers about each.

The "labels" hypothesis, of nearly uniform noise, decides unless a hypothesis that starts from the model explains the
given labels better, or finds mistakes that "labels" cannot see. Mistakes that most images of a class share are unseen:
class means that are fitted to them confirm them. How far a model is believed then depends on its reliability, which no
label enters: how often zero-shot prediction and the images alone agree.
"""

from collections.abc import Mapping
from dataclasses import dataclass

LABELS, SHARP, TEMPERED, MILD = "labels", "sharp", "tempered", "mild"


@dataclass(frozen=True)
class Thresholds:
    """The constants of the selection. `recipes/thresholds.py` measures what each of them is worth."""

    agree: float = 0.55
    """Least agreement of zero-shot prediction and images for the sharp hypothesis."""
    gain: float = 0.1
    """Least gain in log-likelihood per label of the sharp and of the tempered hypothesis; for unseen mistakes, the
    tempered one needs none, and the sharp one may lose."""
    seen: float = 0.25
    """Mistakes are unseen if the "labels" hypothesis finds at most this share of them."""
    material: float = 0.05
    """Least share of labels that unseen mistakes are."""
    cost: float = 4.0
    """Log-likelihood that each unseen mistake of the sharp hypothesis may cost, per unit of agreement above
    `cost_from`."""
    cost_from: float = 0.4
    random: float = 0.4
    """Noise rate of "labels" above which the tempered hypothesis is not chosen: both see random noise."""


@dataclass(frozen=True)
class Facts:
    """What is known about the hypotheses."""

    agreement: float
    """Share of images where zero-shot prediction and the images alone predict the same class."""
    chance: float
    """Agreement up to which a model knows nothing of the classes."""
    gain: Mapping[str, float]
    """Gain in log-likelihood per label over "labels"."""
    rate: Mapping[str, float]
    """Noise rate of each hypothesis."""
    wrong: Mapping[str, float]
    """Share of images that have a wrong label and show one of the classes."""

    def unseen(self, name: str, at: Thresholds) -> float:
        """Return the share of labels that are wrong, but not by "labels"; 0 if it finds many of them, or few are."""
        more, most = self.wrong[name] - self.wrong[LABELS], at.seen * self.wrong[name]
        return more if more >= at.material and self.wrong[LABELS] <= most else 0.0


def selected(facts: Facts, at: Thresholds) -> str:
    """Return the name of the hypothesis that decides."""
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
    if facts.agreement < at.agree:
        return False
    unseen = facts.unseen(SHARP, at)
    may_cost = at.cost * (facts.agreement - at.cost_from) * unseen
    return facts.gain[SHARP] >= at.gain or (unseen > 0 and facts.gain[SHARP] >= -may_cost)
