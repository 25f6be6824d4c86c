"""Every method as one short composition of stages.

What all methods here share:

- Every class has a context of its own unless the docstring says otherwise; `--set context=shared` gives the published
  form of CoOp.
- Views are cached, and a run counts steps instead of epochs.
- Shares of the published run stand for its epochs. A method that screens in every epoch or every other one screens
  `baselines.ROUNDS` times here, and a memory that spans a share of the published epochs spans the same share of those
  (see `baselines.window`).
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
    """Return srrs, the default: a decision from all sources of evidence, and a classifier from prompts and images.

    `trust` says what to believe if labels and model disagree about most images: `labels`, `model`, or `auto`, which
    chooses by the data. Beside the two prompts, a logistic regression around the class vectors learns the same
    rectified labels; the classifier averages the logits of all three. The prompts reach the image features through the
    class names, which a model may know less well than its images. `srrs(tuners=both)` tunes the prompts alone. Without
    a text tower, the logistic regression around the class vectors, if there are any, and one without them are tuned.
    """
    return Method(
        name="srrs",
        tuners=(MACRO, MICRO, RESIDUAL),
        screen=screen.decision(trust),
        rectify=rectify.posterior(),
        rescreen=rescreen.reported(),
        loss=learn.paced(q=0.25, consistency=0.5),
        warm_up_loss=learn.cross_entropy(),
        prepare=learn.as_given(),
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
