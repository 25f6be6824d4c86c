"""Every method as one short composition of stages.

These statements hold for all methods:

- Every class has its own context. If all classes share one context in the published method, its docstring states this.
  `--set context=shared` gives the published form of CoOp.
- Views are cached, and a run counts steps instead of epochs.
- Epochs of the published run become shares of the steps. A method that is published with a screening in every epoch or
  in every second epoch screens `baselines.ROUNDS` times here. If its memory spans 5 % of the published epochs, its
  memory spans 5 % of these screenings (see `baselines.window`).
"""

from collections.abc import Callable

from srrs.methods import learn, rectify, rescreen, screen
from srrs.methods.baselines import coop, coop_two, dspt, gce, linear_probe, mae, upl, zero_shot
from srrs.methods.published import joapr, jocor, nlprompt, srrs_paper, tecoprompt
from srrs.methods.selection import (
    clipcleaner,
    confident_learning,
    deft,
    double_prompts,
    forward,
    lemon,
    mbem,
    robust_similarity,
    simifeat,
    volminnet,
)
from srrs.methods.stages import MACRO, MICRO, RESIDUAL, SOLVED_PROBE, Method
from srrs.screening.decision import Trust


def srrs(trust: Trust = "auto") -> Method:
    """Return srrs, the default method: it decides from all sources of evidence, and tunes prompts and a regression.

    The classifier averages the logits of three parts, which learn the same rectified labels: the class prompt, the
    described prompt, and a logistic regression that adds a residual to the class vectors. Reason for the regression:
    prompts can only change the text features of the class names, and a model may represent the images better than the
    names. `srrs(tuners=both)` tunes the prompts only.

    Without a text tower, there are no prompts, and a logistic regression on the features replaces them. The regression
    that adds a residual to the class vectors is used only if there are class vectors.

    `trust` determines which hypothesis about the labels decides: "auto" chooses by the data, "labels" and "model" take
    one side (see `srrs.screening.decision.decide`).
    """
    return Method(
        name="srrs",
        tuners=(MACRO, MICRO, RESIDUAL),
        screen=screen.decision(trust),
        rectify=rectify.posterior(),
        rescreen=rescreen.reported(),
        loss=learn.paced(q=0.25),
        warm_up_loss=learn.cross_entropy(),
        prepare=learn.as_given(),
        anchor=10.0,
        text_free=(RESIDUAL, SOLVED_PROBE),
    )


METHODS: dict[str, Callable[..., Method]] = {
    "zero-shot": zero_shot,
    "coop": coop,
    "coop-two": coop_two,
    "gce": gce,
    "linear-probe": linear_probe,
    "upl": upl,
    "deft": deft,
    "clipcleaner": clipcleaner,
    "double-prompts": double_prompts,
    "robust-similarity": robust_similarity,
    "confident": confident_learning,
    "lemon": lemon,
    "simifeat": simifeat,
    "forward": forward,
    "volminnet": volminnet,
    "mbem": mbem,
    "mae": mae,
    "dspt": dspt,
    "joapr": joapr,
    "nlprompt": nlprompt,
    "tecoprompt": tecoprompt,
    "jocor": jocor,
    "srrs-paper": srrs_paper,
    "srrs": srrs,
}
"""Every method by name."""
