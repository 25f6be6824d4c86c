"""Methods that learn from all given labels or from none, and helpers that other methods share."""

from dataclasses import replace

from srrs.methods import learn, rectify, rescreen, screen, screen_features, subset
from srrs.methods.stages import MACRO, MICRO, RESIDUAL, Method, TunerSpec

BOTH = (MACRO, MICRO)
"""Class prompt and described prompt."""
ROUNDS = 25
"""Number of screenings of a method whose published form screens in every epoch or in every second epoch."""


def window(epochs: float, of: float) -> int:
    """Return the number of screenings that a memory spans here: `ROUNDS * epochs / of`, rounded, at least 1.

    The published method has `of` epochs, and its memory spans `epochs` of these.
    """
    return max(1, round(ROUNDS * epochs / of))


def plain(
    name: str, tuners: tuple[TunerSpec, ...], q: float, tunes: bool = True, learning_rate: float | None = None
) -> Method:
    """Return a method that learns all given labels by generalized cross-entropy with the exponent `q`.

    `name` and `tuners` are those of the method. If `tunes` is False, the tuners keep their initial state.
    `learning_rate` is that of the prompts; None keeps the default. The learning rates of all methods were chosen on the
    development classes (docs/benchmark.md has the table).
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
    """Return zero-shot prediction with the untuned class prompt. Without a text tower, class vectors take its place."""
    return replace(plain("zero-shot", (MACRO,), q=0.0, tunes=False), text_free=(RESIDUAL,))


def coop() -> Method:
    """Return CoOp (Zhou et al. 2022), which learns the class prompt by cross-entropy on the given labels.

    In the published method, all classes share one context.
    """
    return plain("coop", (MACRO,), q=0.0, learning_rate=0.1)


def coop_two() -> Method:
    """Return CoOp with a class prompt and a described prompt, which measures the effect of the second prompt alone."""
    return plain("coop-two", BOTH, q=0.0, learning_rate=0.1)


def gce() -> Method:
    """Return CoOp with generalized cross-entropy (q = 0.5), as in PTNL (Wu et al. 2023).

    In the published method, all classes share one context.
    """
    return plain("gce", (MACRO,), q=0.5)


def mae() -> Method:
    """Return CoOp with mean absolute error (Ghosh et al. 2017), which PTNL (Wu et al. 2023) and NLPrompt study.

    The loss is `1 - p`, generalized cross-entropy at q = 1. This is half of the absolute error, as in the code of PTNL
    and NLPrompt. In the published methods, all classes share one context.
    """
    return plain("mae", (MACRO,), q=1.0)


def dspt() -> Method:
    """Return DSPT (arXiv 2605.00591): CoOp with a second softmax inside the cross-entropy.

    The second softmax bounds the loss of a sample, so that a wrong label has little weight. The method has no
    hyperparameter.
    """
    double = learn.double_softmax()
    return replace(plain("dspt", (MACRO,), q=0.0), loss=double, warm_up_loss=double)


def linear_probe() -> Method:
    """Return logistic regression on the image features (Radford et al. 2021), without text.

    As published, the weights have an L2 penalty, and L-BFGS runs to convergence. Differences from the published method:

    - The penalty is chosen by cross-validation on the given labels, because there is no clean validation set.
    - The audit ranks the labels by their out-of-fold probability.
    """
    probe = TunerSpec("probe", "logistic-probe")
    return replace(plain("linear-probe", (probe,), q=0.0), screen=screen_features.out_of_fold_probe())


def upl() -> Method:
    """Return robust unsupervised prompt learning of PTNL (Wu et al. 2023), which never reads the given labels.

    As published, the pseudo-labels are zero-shot predictions. The prompt learns the K most confident images of each
    class (Huang et al. 2022), by generalized cross-entropy with q = 0.5. Differences from the published method:

    - Images are chosen from the training set of this run. PTNL chooses K = 16 from the whole training set of the
      dataset, so it has more images to choose from in a few-shot comparison.
    - K is the mean number of samples of a class.
    - There is no ensemble of prompts.
    - The audit ranks the given labels by their probability in the tuned model.
    """
    return replace(plain("upl", (MACRO,), q=0.5), rectify=subset.confident_zero_shot())
