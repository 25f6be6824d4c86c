"""Every method as one short composition of stages."""

from collections.abc import Callable
from dataclasses import replace

from srrs.methods import (
    advice,
    agreement,
    confident,
    joint,
    learn,
    rectify,
    rescreen,
    screen,
    similarity,
    subset,
    transport,
)
from srrs.methods.joapr import joint_thresholds, refurbish
from srrs.methods.stages import LINEAR, MACRO, MICRO, Learner, Method

BOTH = (MACRO, MICRO)
SEVERAL = Learner("class", prompts=4)
NOISY = "a noisy photo of a"


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


def mae() -> Method:
    """CoOp with mean absolute error (Ghosh et al. 2017), as PTNL (Wu et al. 2023) and NLPrompt study it.

    It is `1 - p`, GCE at q = 1: half of the absolute error, as both codes have it.
    """
    return _plain("mae", (MACRO,), q=1.0)


def linear_probe() -> Method:
    """Logistic regression on the image features (Radford et al. 2021), no text; the audit ranks by its belief.

    Ours: learned by the loop's own steps on the views instead of L-BFGS with a swept penalty, for which the early end
    of the steps stands in (see `LinearProbe`).
    """
    return _plain("linear-probe", (LINEAR,), q=0.0)


def upl() -> Method:
    """Robust unsupervised prompt learning of PTNL (Wu et al. 2023): the given labels are never learned from.

    As published: zero-shot pseudo-labels, the K most confident of each class (Huang et al. 2022), GCE with q = 0.5.
    Ours: K is the mean number of samples per class, the text prompt and backbone those of every method here, no
    ensemble. The audit ranks by the tuned model's belief in the given label.
    """
    return replace(_plain("upl", (MACRO,), q=0.5), rectify=subset.confident_zero_shot())


def deft() -> Method:
    """The noisy label detector of DeFT (Wei et al. 2024): a positive and a negative prompt per class.

    As published: a label is clean where the positive prompt of its class beats the negative one; the positive prompts
    learn the clean labels by cross-entropy, the negative ones by negative learning; the first of ten epochs takes every
    label for clean. Ours: text prompts alone, no visual ones and no fine-tuning afterwards; both prompts start from the
    same words, so that the detector starts undecided; the loss is the mean over all complementary labels instead of one
    drawn, unclipped; what is clean is decided once per epoch, on the mean of the views. All classes share a context,
    as published and whatever the settings say: with one per class the negative prompts memorise labels.
    """
    shared = Learner("class", shared=True)
    return replace(
        _plain("deft", (shared, shared), q=0.0),
        voters=1,
        screen=advice.advised(right=0, wrong=1),
        loss=advice.detecting(),
        warm_up_loss=advice.detecting(),
        warm_up=0.1,
        rounds=9,
    )


def clipcleaner() -> Method:
    """The selection of CLIPCleaner (Feng et al. 2024): what zero-shot and a linear probe agree on, once, beforehand.

    As published: two Gaussians per class on the loss (0.5) and consistency (0.8), of zero-shot and of a balanced
    logistic regression, all four together. Ours: one prompt per class and the model's own temperature instead of many
    and 0.07; the regression's penalty goes by the spread of the features (C = 3); a class left empty keeps its most
    trusted sample (the released code takes the least trusted ones); prompts then learn what is selected by
    cross-entropy, in place of a network with MixFix.
    """
    return replace(_plain("clipcleaner", (MACRO,), q=0.0), screen=agreement.agreement(), rectify=subset.clean_alone())


def double_prompts() -> Method:
    """Double Prompt Learners (Li 2024, the first forerunner of SRRS): a classifier and a discriminator.

    As published: several prompts per class; prompts of clean and of noisy photos learn whether the classifier agrees
    with the given label, and correct the labels it learns; cross-entropy for both. Ours: 4 prompts, as most runs of the
    post, whose number matters little there; beta = 0.25 for every data set, the middle of its best on DTD (0.4) and on
    Caltech101 (0.1). `p_clean` is the clean prompt against the noisy one at the given class. The labels are corrected
    in every step anew, so the audit keeps the given ones.
    """
    return replace(
        _plain("double-prompts", (SEVERAL, Learner("class", "a clean photo of a"), Learner("class", NOISY)), q=0.0),
        voters=1,
        screen=advice.advised(right=1, wrong=2),
        loss=advice.discriminating(beta=0.25),
        warm_up_loss=advice.discriminating(beta=0.25),
    )


def robust_similarity() -> Method:
    """Robust Similarity (Li 2024, the second forerunner of SRRS): prompts and pictures of a class select together.

    As published: alpha = 0.2 exp(epoch / 35) weighs the similarity to the prompts, the rest the closeness to pictures
    labelled alike; two Gaussians per class; the first of 50 epochs learns every label, cross-entropy throughout. Ours:
    4 prompts per class instead of up to 6; a screening every other epoch; the prompt similarity is the log-probability
    of the given class instead of its cosine, so that it knows of the other classes.
    """
    return replace(
        _plain("robust-similarity", (SEVERAL,), q=0.0),
        screen=similarity.robust_similarity(rounds=25),
        rectify=subset.clean_alone(),
        warm_up=0.02,
        rounds=25,
    )


def confident_learning() -> Method:
    """Confident learning (Northcutt et al. 2021), as cleanlab prunes by noise rate: the peer of every audit.

    As published: issues and ranking by out-of-fold self-confidence, learning without the issues. Ours: the predictions
    are those of a 5-fold logistic regression on the image features, the classifier that learns afterwards is CoOp.
    """
    return replace(_plain("confident", (MACRO,), q=0.0), screen=confident.confident(), rectify=subset.clean_alone())


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
    """Ours: SRRS with a label channel for its decision, and a linear probe beside the prompts.

    The probe learns the same rectified labels and votes with the prompts: they reach the image features through the
    class names, which a model may know less well than its pictures. `srrs(voters=2)` are the prompts alone.
    """
    return Method(
        name="srrs",
        learners=(*BOTH, LINEAR),
        screen=screen.channel(),
        rectify=rectify.posterior(),
        rescreen=rescreen.reported(),
        loss=learn.paced(q=0.25, consistency=0.5),
        warm_up_loss=learn.cross_entropy(),
        prepare=learn.as_given(),
    )


def joapr() -> Method:
    """JoAPR (Guo and Gu 2024): joint adaptive thresholds part clean from noisy labels, and all labels are refurbished.

    As published: the score is cross-entropy plus entropy, scaled and averaged over 5 screenings; 2 Gaussians; clean by
    either threshold; refurbished labels squared; a warm-up with confidence (alpha_1 0.5); the pull of the mean
    prediction to uniform (alpha_2 1). Ours:

    - One setting for all sets and rates, the commonest of the published table, which needs the noise rate.
    - The warm-up of one epoch is one pass over 1,600 samples; 25 screenings stand for one in each of 200 epochs.
    - The first threshold uses standard deviations, where the code uses variances and doubles the ratio within the log.
    - The second is, as in the code, this screening's noise rate, counted with that of the screening before.
    - Scores and labels come from all views, once per screening, not from one view and in every batch; the posterior is
      weighted by the prediction from the first screening on, not the second.
    - No mixup: with the published Beta(0.001, 0.001) it mixes nothing.
    """
    return replace(
        _plain("joapr", (MACRO,), q=0.0),
        screen=joint_thresholds(remember=5),
        rectify=refurbish(sharpness=2.0),
        loss=learn.co_regularised(prior=1.0),
        warm_up_loss=learn.co_regularised(prior=0.0, confidence=0.5),
        warm_up=0.03,
        rounds=25,
    )


def nlprompt() -> Method:
    """NLPrompt (Pan et al. 2025): optimal transport parts clean, learned by CE, from noisy, learned by MAE.

    As published: cost -log P (the paper), entropy weight 0.01, 1,000 sweeps and their tolerance (the code), classes of
    equal size, given labels, MAE as `1 - p`. Ours:

    - The cost takes one softmax. The code takes two, which amounts to the cost -P.
    - Transport is solved anew at each of 25 screenings, as the code does in each of 50 epochs; the paper solves once.
    - Both parts share each step, sample by sample, where the code takes their batches in turn; no warm-up.
    """
    return replace(
        _plain("nlprompt", (MACRO,), q=0.0),
        screen=transport.transport(reg=0.01),
        loss=transport.by_group(clean=0.0, noisy=1.0),
        rounds=25,
    )


def tecoprompt() -> Method:
    """TecoPrompt (Shao et al. 2026): NLPrompt's transport, and labels rewritten that it has held to for some time.

    As published: rewriting, for good, after a window in which the plan's class stays and its share is at least 0.99;
    a running average of that share parts clean (0.8) from ambiguous (0.2); CE, GCE with q = 0.5 and MAE. Ours:

    - 25 screenings for 50 epochs: the window of 8 epochs is 4 screenings, and the average keeps 0.64 = 0.8^2.
    - A rewritten label is learned as clean at once, not after an epoch among the ambiguous; the audit calls what was
      given there noisy.
    - GCE for the ambiguous as the paper says; the code leaves q at 0 there, and so takes CE.
    - The cost and the steps as in `nlprompt`.
    """
    return replace(
        _plain("tecoprompt", (MACRO,), q=0.0),
        screen=transport.temporal_transport(reg=0.01, window=4, momentum=0.64, sure=0.8, unsure=0.2),
        rectify=transport.rewritten(certain=0.99),
        rescreen=transport.confident(sure=0.8),
        loss=transport.by_group(clean=0.0, ambiguous=0.5, noisy=1.0),
        prepare=transport.matched_as_clean(),
        rounds=25,
    )


def jocor(noise_rate: float) -> Method:
    """JoCoR (Wei et al. 2020): two learners drawn together, and only samples of small joint loss are learned from.

    As published: the joint loss, chosen within the step, the share of `noise_rate` left out. Ours:

    - The two networks are the two prompts of SRRS: two equal prompts would stay equal. They vote together.
    - The weight of agreement is 0.5, the lowest the authors advise (0.5 to 0.9, by set and rate).
    - The ramp of the share left out over 10 of 200 epochs is a warm-up that leaves nothing out, 5 % of the steps.
    - `noise_rate` is of all labels; the code halves it for asymmetric noise, where half of its classes have none.
    - Each view of a sample is chosen by itself. At a rate of 1 one is still learned from.
    """
    return replace(
        _plain("jocor", BOTH, q=0.0),
        screen=joint.small_joint(noise_rate),
        loss=joint.small_joint_loss(noise_rate),
        warm_up_loss=joint.small_joint_loss(0.0),
        warm_up=0.05,
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
    "mae": mae,
    "joapr": joapr,
    "nlprompt": nlprompt,
    "tecoprompt": tecoprompt,
    "jocor": jocor,
    "srrs-paper": srrs_paper,
    "srrs": srrs,
}
