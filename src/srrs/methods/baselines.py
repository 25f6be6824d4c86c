"""Methods that learn from all given labels or from none of them, and what the methods of the zoo share."""

from dataclasses import replace

from srrs.methods import learn, rectify, rescreen, screen, screen_features, subset
from srrs.methods.stages import MACRO, MICRO, RESIDUAL, Method, TunerSpec

BOTH = (MACRO, MICRO)
ROUNDS = 25
"""Screenings of a method that screens in every epoch or every other one as published."""


def window(epochs: float, of: float) -> int:
    """Return how many of `ROUNDS` screenings a memory of `epochs` of the `of` published epochs spans, at least 1."""
    return max(1, round(ROUNDS * epochs / of))


def plain(
    name: str, tuners: tuple[TunerSpec, ...], q: float, tunes: bool = True, learning_rate: float | None = None
) -> Method:
    """Return a method that trusts every label and learns them by generalized cross-entropy with exponent q.

    The learning rates of the zoo were chosen on the development classes (docs/benchmark.md has the table).
    """
    return Method(
        name=name,
        tuners=tuners,
        screen=screen.trust_all(),
        rectify=rectify.keep(),
        rescreen=rescreen.accept_all(),
        loss=learn.generalized(q),
        warm_up_loss=learn.generalized(q),
        prepare=learn.as_given(),
        tunes=tunes,
        learning_rate=learning_rate,
    )


def zero_shot() -> Method:
    """Return the untuned class prompt. Without a text tower, the class vectors take its place."""
    return replace(plain("zero-shot", (MACRO,), q=0.0, tunes=False), text_free=(RESIDUAL,))


def coop() -> Method:
    """Return CoOp (Zhou et al. 2022): cross-entropy on the given labels. The published context is shared by classes."""
    return plain("coop", (MACRO,), q=0.0, learning_rate=0.1)


def coop_two() -> Method:
    """Return CoOp with a class prompt and a described prompt, to measure what the second prompt adds by itself."""
    return plain("coop-two", BOTH, q=0.0, learning_rate=0.1)


def gce() -> Method:
    """Return CoOp with generalized cross-entropy, q = 0.5, as PTNL (Wu et al. 2023).

    The published context is shared by all classes.
    """
    return plain("gce", (MACRO,), q=0.5)


def mae() -> Method:
    """Return CoOp with mean absolute error (Ghosh et al. 2017), as PTNL (Wu et al. 2023) and NLPrompt study it.

    The loss is `1 - p`, GCE at q = 1: half of the absolute error, as in both codes. The published context is shared by
    all classes.
    """
    return plain("mae", (MACRO,), q=1.0)


def dspt() -> Method:
    """Return DSPT (arXiv 2605.00591): CoOp with a second softmax inside the cross-entropy.

    The second softmax bounds the loss of a sample. A wrong label then has little weight. There is no parameter.
    """
    double = learn.double_softmax()
    return replace(plain("dspt", (MACRO,), q=0.0), loss=double, warm_up_loss=double)


def linear_probe() -> Method:
    """Return logistic regression on the image features (Radford et al. 2021), without text.

    As published, the weights have an L2 penalty and L-BFGS runs to convergence. Differences:

    - The penalty is chosen on the given labels, out of fold, because there is no clean validation set.
    - The audit ranks by the out-of-fold probability of the given label.
    """
    probe = TunerSpec("probe", "logistic-probe")
    return replace(plain("linear-probe", (probe,), q=0.0), screen=screen_features.out_of_fold_probe())


def upl() -> Method:
    """Return robust unsupervised prompt learning of PTNL (Wu et al. 2023), which never reads the given labels.

    As published, the pseudo-labels are zero-shot predictions. The K most confident images of each class are learned
    (Huang et al. 2022), by GCE with q = 0.5. Differences:

    - Images are chosen from the training set of this run. PTNL chooses K = 16 from the whole training set of the
      dataset, so it has more images to choose from in a few-shot comparison.
    - K is the mean number of samples of a class.
    - There is no ensemble of prompts.
    - The audit ranks by the tuned model's probability of the given label.
    """
    return replace(plain("upl", (MACRO,), q=0.5), rectify=subset.confident_zero_shot())
