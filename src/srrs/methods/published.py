"""Published methods that screen and relabel during training, SRRS among them."""

from dataclasses import replace

from srrs.methods import joint, learn, rectify, rescreen, screen, transport
from srrs.methods.baselines import BOTH, ROUNDS, plain, window
from srrs.methods.joapr import balanced, refurbish
from srrs.methods.stages import MACRO, Method


def srrs_paper() -> Method:
    """Return SRRS as published. Values that the paper does not give are those of the released code. Differences:

    - There are 25 screenings. The published run has 200 epochs (50 on ImageNet) with a screening in every second one.
    - Losses and matcher scores are averaged over 5 % of the run, which is 1 of 25 screenings. The code averages over 5.
    - Mixup draws from Beta(0.75, 0.75). The paper names MixMatch, which uses this value, and gives none of its own. The
      released code draws from Beta(0.001, 0.001), which mixes nothing, so that the third stage has no effect.
      `srrs-paper(prepare=mixup_unmatched(alpha=0.001,matched_weight=1))` does the same.
    - Matched samples have the weight 2, because the released code learns them twice.
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

    As published, the score is cross-entropy plus entropy, scaled, and averaged over 5 of 200 screenings. Two Gaussians
    split it. A label is clean if either threshold says so. Refurbished labels are squared. A step has as many clean as
    noisy samples. The warm-up rewards confidence (alpha_1 = 0.5). The prior term is KL(uniform, mean prediction)
    (alpha_2 = 1). Differences:

    - One setting serves all datasets and rates. It is the most frequent one of the published table, whose choice needs
      the noise rate. For Caltech101 the table has alpha_2 = 0.5.
    - There are 25 screenings instead of 200. The average over 2.5 % of the run is over 1 screening.
    - The warm-up of one epoch is 3 % of the steps, 2 of 60.
    - Steps are drawn from all samples. Weights make clean and noisy samples count equally.
    - The first threshold uses standard deviations. The code uses variances and doubles the ratio inside the log.
    - The second threshold is the noise rate of this screening, counted with that of the screening before, as in the
      code.
    - Scores and labels come from all views, once per screening. The code uses one view, in every batch.
    - The posterior is weighted by the prediction from the first screening on, not from the second.
    - There is no mixup, because the published Beta(0.001, 0.001) mixes nothing.
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
    """Return NLPrompt (Pan et al. 2025): optimal transport splits the labels into clean (CE) and noisy (MAE) ones.

    As published, the cost is -log P (paper) and the weight of the entropy 0.01 (the paper names 0.001 to 0.01, the
    script uses 0.001). There are 1,000 sweeps with the tolerance of the code. Classes have equal size, labels are the
    given ones, and MAE is `1 - p`. Differences:

    - The cost uses one softmax. The code uses two, which amounts to the cost -P, as in
      `nlprompt(screen=transport(reg=0.001,cost='probability'))`.
    - Transport is solved at each of 25 screenings. The code solves it in each of 200 epochs (50 by default), the paper
      once.
    - Clean and noisy samples share each step. The code alternates between batches of the two.
    - There is no warm-up.
    """
    return replace(
        plain("nlprompt", (MACRO,), q=0.0),
        screen=screen.transport(reg=0.01),
        loss=transport.by_group(clean=0.0, noisy=1.0),
        rounds=ROUNDS,
    )


def tecoprompt() -> Method:
    """Return TecoPrompt (Shao et al. 2026): the transport of NLPrompt, with labels rewritten when the plan is steady.

    As published, the plan is a matrix (N, C) of transport from samples to classes. The share of a class is its part of
    the row of a sample. A label is rewritten permanently if the largest class stays the same for 8 of 50 epochs, with a
    share of at least 0.99. A running average of this share (0.8 per epoch) splits clean (0.8) from ambiguous (0.2). The
    losses are CE for clean, GCE with q = 0.5 for ambiguous and MAE for noisy labels. The cost is -P and the weight of
    the entropy 0.01 (code). Differences:

    - The paper prints the cost -log P. With it the shares saturate, and the values 0.99, 0.8 and 0.2 do not fit.
      `tecoprompt(screen=temporal_transport(cost='log'))` uses it.
    - There are 25 screenings for 50 epochs. The window is 4 screenings, and the average keeps 0.64 = 0.8^2.
    - A rewritten label is learned as clean at once, not after an epoch among the ambiguous. The audit calls the given
      label noisy.
    - Ambiguous labels are learned by GCE, as in the paper. The code leaves q at 0, which is CE.
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
    """Return JoCoR (Wei et al. 2020): two classifiers agree, and only samples with small joint loss are learned.

    As published, samples are selected within the step by the joint loss, and the share `noise_rate` is left out.
    Differences:

    - The two networks are the class prompt and the described prompt, because two equal prompts would stay equal. Both
      vote.
    - The weight of the agreement is 0.5. The authors use 0.5 to 0.9, depending on dataset and rate (CIFAR-100: 0.85).
    - The authors increase the share that is left out over 10 of 200 epochs. Here a warm-up of 5 % of the steps leaves
      nothing out.
    - `noise_rate` refers to all labels. The code halves it for asymmetric noise, which affects half of its classes.
    - Selection is per view. At least one view is kept, even at a noise rate of 1.
    """
    return replace(
        plain("jocor", BOTH, q=0.0, learning_rate=0.2),
        screen=screen.small_joint(noise_rate),
        loss=joint.small_joint_loss(noise_rate),
        warm_up_loss=joint.small_joint_loss(0.0),
        warm_up=0.05,
    )
