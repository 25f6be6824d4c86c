"""Every method as one short composition of stages."""

from collections.abc import Callable

from srrs.methods import learn, rectify, rescreen, screen
from srrs.methods.stages import MACRO, MICRO, Learner, Method

BOTH = (MACRO, MICRO)


def zero_shot() -> Method:
    """The untuned class prompt."""
    return _plain("zero-shot", (MACRO,), q=0.0, tunes=False)


def coop() -> Method:
    """CoOp (Zhou et al. 2022): cross-entropy on the given labels."""
    return _plain("coop", (MACRO,), q=0.0)


def coop_two() -> Method:
    """CoOp with both learners: what a second prompt adds by itself."""
    return _plain("coop-two", BOTH, q=0.0)


def gce() -> Method:
    """CoOp with generalised cross-entropy, q = 0.5 as PTNL (Wu et al. 2023)."""
    return _plain("gce", (MACRO,), q=0.5)


def _plain(name: str, learners: tuple[Learner, ...], q: float, tunes: bool = True) -> Method:
    return Method(
        name=name,
        learners=learners,
        screen=screen.trust_all(),
        rectify=rectify.keep(),
        rescreen=rescreen.accept_all(),
        loss=learn.generalised(q),
        warm_up_loss=learn.generalised(q),
        prepare=learn.as_given(),
        tunes=tunes,
    )


def srrs_paper() -> Method:
    """SRRS as published; where the paper is silent, the released code's value."""
    return Method(
        name="srrs-paper",
        learners=BOTH,
        screen=screen.bands(theta=0.01, remember=5),
        rectify=rectify.blend(sharpness=2.0),
        rescreen=rescreen.matcher(kappa=0.5, remember=5),
        loss=learn.co_regularised(consistency=0.5, prior=1.0),
        warm_up_loss=learn.co_regularised(consistency=0.0, prior=0.0, confidence=0.5),
        prepare=learn.mixup_unmatched(alpha=0.001),
        warm_up=0.04,
        rounds=25,
    )


def srrs() -> Method:
    """Ours: SRRS with a label channel for its decision."""
    return Method(
        name="srrs",
        learners=BOTH,
        screen=screen.channel(),
        rectify=rectify.posterior(),
        rescreen=rescreen.reported(),
        loss=learn.co_regularised(q=0.5, consistency=0.5, prior=0.0),
        warm_up_loss=learn.cross_entropy(),
        prepare=learn.as_given(),
    )


METHODS: dict[str, Callable[[], Method]] = {
    "zero-shot": zero_shot,
    "coop": coop,
    "coop-two": coop_two,
    "gce": gce,
    "srrs-paper": srrs_paper,
    "srrs": srrs,
}
