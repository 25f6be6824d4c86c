"""Published methods that screen and relabel during training, SRRS among them."""

from dataclasses import replace

from srrs.methods import joint, learn, rectify, rescreen, screen, transport
from srrs.methods.baselines import BOTH, ROUNDS, plain, window
from srrs.methods.joapr import balanced, refurbish
from srrs.methods.stages import MACRO, Method


def srrs_paper() -> Method:
    """Return SRRS as published; where the paper is silent, with the values of the released code. Ours:

    - The published run has 200 epochs (50 on ImageNet) with a screening every 2; here it has 25 screenings. The code
      averages losses and matcher scores over 5 screenings, 5 % of the run, which is 1 of 25.
    - Unmatched samples are mixed with matched ones by an alpha that mixes: MixMatch's 0.75, as the paper names MixMatch
      and no value. The released code draws from Beta(0.001, 0.001), which mixes nothing:
      `srrs-paper(prepare=mixup_unmatched(alpha=0.001,matched_weight=1))` leaves the third stage without effect.
    - Matched samples have the weight 2, as the released code learns them twice.
    """
    remember = window(10, of=200)
    return Method(
        name="srrs-paper",
        tuners=BOTH,
        screen=screen.bands(theta=0.01, remember=remember),
        rectify=rectify.blend(sharpness=2.0),
        rescreen=rescreen.matcher(kappa=0.5, remember=remember),
        loss=learn.co_regularized(consistency=0.5, prior=1.0),
        warm_up_loss=learn.co_regularized(consistency=0.0, prior=0.0, confidence=0.5),
        prepare=learn.mixup_unmatched(alpha=0.75, matched_weight=2.0),
        warm_up=0.01,
        rounds=ROUNDS,
    )


def joapr() -> Method:
    """Return JoAPR (Guo and Gu 2024): two thresholds split clean from noisy labels, and all labels are refurbished.

    As published: the score is cross-entropy plus entropy, scaled and averaged over 5 of 200 screenings; 2 Gaussians;
    clean by either threshold; refurbished labels squared; steps with equal numbers of clean and noisy samples; a
    warm-up with confidence (alpha_1 0.5); the prior term, KL(uniform, mean prediction) (alpha_2 1). Ours:

    - One setting for all data sets and rates, the commonest of the published table, which needs the noise rate. For
      Caltech101 the table has alpha_2 = 0.5.
    - 25 screenings stand for one in each of 200 epochs, and the average over 2.5 % of the run is over 1 of them.
    - The warm-up of one epoch is 3 % of the steps: 2 of 60.
    - Steps are drawn from all samples, and weights make clean and noisy samples count equally.
    - The first threshold uses standard deviations; the code uses variances and doubles the ratio within the log.
    - The second is, as in the code, this screening's noise rate, counted with that of the screening before.
    - Scores and labels come from all views, once per screening, not from one view and in every batch; the posterior is
      weighted by the prediction from the first screening on, not the second.
    - No mixup: the published Beta(0.001, 0.001) mixes nothing.
    """
    return replace(
        plain("joapr", (MACRO,), q=0.0),
        screen=screen.joint_thresholds(remember=window(5, of=200)),
        rectify=refurbish(sharpness=2.0),
        prepare=balanced(),
        loss=learn.co_regularized(prior=1.0),
        warm_up_loss=learn.co_regularized(prior=0.0, confidence=0.5),
        warm_up=0.03,
        rounds=ROUNDS,
    )


def nlprompt() -> Method:
    """Return NLPrompt (Pan et al. 2025): optimal transport splits clean, learned by CE, from noisy, learned by MAE.

    As published: cost -log P (the paper), entropy weight 0.01 (the paper's range is 0.001 to 0.01, the script has
    0.001), 1,000 sweeps and their tolerance (the code), classes of equal size, given labels, MAE as `1 - p`. Ours:

    - The cost takes one softmax. The code takes two, which amounts to the cost -P: `nlprompt(screen=
      transport(reg=0.001,cost='probability'))`.
    - Transport is solved again at each of 25 screenings, as the code does in each of 200 epochs (50 by default); the
      paper solves once.
    - Both parts share each step, sample by sample, where the code takes their batches in turn; no warm-up.
    """
    return replace(
        plain("nlprompt", (MACRO,), q=0.0),
        screen=screen.transport(reg=0.01),
        loss=transport.by_group(clean=0.0, noisy=1.0),
        rounds=ROUNDS,
    )


def tecoprompt() -> Method:
    """Return TecoPrompt (Shao et al. 2026): NLPrompt's transport, and labels rewritten once the plan is steady.

    As published: the plan is a matrix (N, C) of transport from samples to classes; the share of a class is its part of
    the row of a sample. A label is rewritten permanently after a window of 8 of 50 epochs in which the largest class
    stays the same with a share of at least 0.99; a running average of that share (0.8 per epoch) splits clean (0.8)
    from ambiguous (0.2); CE, GCE with q = 0.5 and MAE; cost -P with entropy weight 0.01 (the code). Ours:

    - The paper prints the cost -log P, which saturates the shares that 0.99, 0.8 and 0.2 are compared with:
      `tecoprompt(screen=temporal_transport(cost='log'))`.
    - 25 screenings for 50 epochs: the window is 4 screenings, and the average keeps 0.64 = 0.8^2.
    - A rewritten label is learned as clean at once, not after an epoch among the ambiguous; the audit calls the label
      that was given there noisy.
    - GCE for the ambiguous as the paper says; the code leaves q at 0 there, and so takes CE.
    """
    return replace(
        plain("tecoprompt", (MACRO,), q=0.0),
        screen=transport.temporal_transport(
            reg=0.01, window=window(8, of=50), momentum=0.8 ** (50 / ROUNDS), sure=0.8, unsure=0.2
        ),
        rectify=transport.rewritten(certain=0.99),
        rescreen=transport.steady_plan(sure=0.8),
        loss=transport.by_group(clean=0.0, ambiguous=0.5, noisy=1.0),
        prepare=transport.matched_as_clean(),
        rounds=ROUNDS,
    )


def jocor(noise_rate: float) -> Method:
    """Return JoCoR (Wei et al. 2020): two classifiers agree, and only samples of small joint loss are learned.

    As published: the joint loss, selection within the step, the share of `noise_rate` left out. Ours:

    - The two networks are the class prompt and the described prompt: two equal prompts would stay equal. Both vote.
    - The weight of agreement is 0.5, the lowest the authors advise (0.5 to 0.9 by set and rate; CIFAR-100 has 0.85).
    - The ramp of the share left out over 10 of 200 epochs is a warm-up that leaves nothing out, 5 % of the steps.
    - `noise_rate` is of all labels; the code halves it for asymmetric noise, where half of its classes have none.
    - Small-loss selection is per view. At least one view is kept, even at a noise rate of 1.
    """
    return replace(
        plain("jocor", BOTH, q=0.0, learning_rate=0.2),
        screen=screen.small_joint(noise_rate),
        loss=joint.small_joint_loss(noise_rate),
        warm_up_loss=joint.small_joint_loss(0.0),
        warm_up=0.05,
    )
