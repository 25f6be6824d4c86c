"""Published methods that screen and relabel during training: SRRS, JoAPR, NLPrompt, TecoPrompt and JoCoR."""

from dataclasses import replace

from srrs.methods import joint, learn, rectify, rescreen, screen, transport
from srrs.methods.baselines import BOTH, ROUNDS, plain, window
from srrs.methods.joapr import balanced, refurbish
from srrs.methods.stages import MACRO, Method


def srrs_paper() -> Method:
    """Return SRRS as published. Values that the paper does not give are those of the released code.

    Differences from the published method:

    - There are 25 screenings. The published run has 200 epochs (50 on ImageNet) and screens in every second epoch.
    - Losses and matcher scores are averaged over 5 % of the run, which is 1 of 25 screenings. The code averages over 5
      of 100 screenings.
    - Mixup draws from Beta(0.75, 0.75). The paper gives no value, but names MixMatch, which uses this value. The
      released code draws from Beta(0.001, 0.001), which mixes nothing.
      `srrs-paper(prepare=mixup_unmatched(alpha=0.001))` does the same.
    - Matched samples have the weight 2, because the released code trains on each of them twice. With `alpha=0.001` and
      `matched_weight=1`, re-screening has no effect.
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

    As published, the score of a sample is its cross-entropy plus its entropy, scaled to 0..1 and averaged over 5 of 200
    screenings. A mixture of two Gaussians is fitted to the scores, and two thresholds follow from the mixture. A label
    is clean if it passes at least one of the two thresholds. Refurbished labels (see `refurbish`) are squared and
    normalized. A step has as many clean as noisy samples. The loss of the warm-up subtracts the entropy, with the
    weight alpha_1 = 0.5. The loss contains KL(uniform, mean prediction), with the weight alpha_2 = 1. Differences from
    the published method:

    - All datasets and noise rates use the same values, which are the most frequent values of the published table. The
      published choice depends on the noise rate. For Caltech101 the table has alpha_2 = 0.5.
    - There are 25 screenings instead of 200. The average is over 2.5 % of the run, which is 1 screening.
    - The warm-up takes 3 % of the steps (2 of 60). In the code it takes one epoch.
    - Steps are drawn from all samples. Weights make clean and noisy samples count equally.
    - The first threshold uses standard deviations. The code uses variances and doubles the ratio inside the log.
    - As in the code, the second threshold follows from the noise rates of this screening and of the previous one.
    - Scores and labels are computed from all views, once per screening. The code uses one view, in every batch.
    - The posterior of clean is multiplied by the prediction from the first screening on. In the code, this begins at
      the second screening.
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

    CE is cross-entropy, MAE is mean absolute error. P is the probability of a class. As published, the cost of
    transport is -log P (paper). The weight of the entropy is 0.01: the paper names 0.001 to 0.01, the released script
    uses 0.001. As in the code, there are up to 1,000 iterations, all classes get the same mass, the prompt learns the
    given labels, and MAE is `1 - p`. Differences from the published method:

    - The cost uses one softmax. The code uses two, which amounts to the cost -P. For the cost of the code, write
      `nlprompt(screen=transport(reg=0.001,cost='probability'))`.
    - The transport plan is computed at each of 25 screenings. The code computes it in each of 200 epochs (50 by
      default), the paper once.
    - A step contains clean and noisy samples. The code alternates between clean and noisy batches.
    - There is no warm-up.
    """
    return replace(
        plain("nlprompt", (MACRO,), q=0.0),
        screen=screen.transport(reg=0.01),
        loss=transport.by_group(clean=0.0, noisy=1.0),
        rounds=ROUNDS,
    )


def tecoprompt() -> Method:
    """Return TecoPrompt (Shao et al. 2026): transport as in NLPrompt, and labels replaced if the plan is stable.

    As published, the plan is a matrix (N, C) of optimal transport from samples to classes. The share of a class is its
    entry in the row of a sample, divided by the sum of the row. A label is replaced permanently if the same class has
    the largest share in 8 successive epochs of 50, and this share is at least 0.99 each time. A running average of the
    largest share (momentum 0.8 per epoch) separates clean (at least 0.8), ambiguous (at least 0.2) and noisy labels.
    The losses are cross-entropy for clean labels, generalized cross-entropy (GCE) with q = 0.5 for ambiguous labels and
    mean absolute error for noisy labels. The cost is -P, and the weight of the entropy is 0.01 (code). Differences from
    the published method:

    - The paper prints the cost -log P. With this cost, nearly all shares are close to 0 or 1, and the values 0.99, 0.8
      and 0.2 do not fit. For the cost of the paper, write `tecoprompt(screen=temporal_transport(cost='log'))`.
    - There are 25 screenings for 50 epochs. The window is 4 screenings, and the momentum is 0.64 = 0.8^2.
    - A replaced label is learned as a clean label at once. In the published method, the label is ambiguous for one
      epoch first. The audit calls the given label noisy.
    - Ambiguous labels are learned by GCE, as in the paper. The code leaves q at 0, which is cross-entropy.
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
    """Return JoCoR (Wei et al. 2020): two classifiers are trained to agree, on samples with a small joint loss.

    The joint loss is the cross-entropy of both classifiers plus their disagreement. As published, each step leaves out
    the share `noise_rate` of its samples, those with the largest joint loss. Differences from the published method:

    - The two networks are the class prompt and the described prompt, because two equal prompts would stay equal. The
      classifier averages the logits of both.
    - The weight of the agreement is 0.5. The authors use 0.5 to 0.9, depending on dataset and rate (CIFAR-100: 0.85).
    - The authors increase the share that is left out over 10 of 200 epochs. Here, a warm-up of 5 % of the steps learns
      all samples.
    - `noise_rate` refers to all labels. The code halves it for asymmetric noise, which affects half of its classes.
    - The selection is made for each view of an image separately. At least one view is kept, even at a noise rate of 1.
    """
    return replace(
        plain("jocor", BOTH, q=0.0, learning_rate=0.2),
        screen=screen.small_joint(noise_rate),
        loss=joint.small_joint_loss(noise_rate),
        warm_up_loss=joint.small_joint_loss(0.0),
        warm_up=0.05,
    )
