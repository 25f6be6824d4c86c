"""Methods that select clean samples and learn those alone, or that detect wrong labels by prompts."""

from dataclasses import replace
from typing import Literal

from srrs.methods import detector, rectify, screen, screen_features, subset
from srrs.methods.baselines import ROUNDS, plain
from srrs.methods.stages import MACRO, Method, TunerSpec


def deft() -> Method:
    """Return the noisy-label detector of DeFT (Wei et al. 2024): a positive and a negative prompt per class.

    As published: a label is clean if the positive prompt of its class beats the negative one; the positive prompts
    learn the clean labels by cross-entropy, the negative ones by negative learning; the first of ten epochs takes every
    label for clean; a shared context. Ours:

    - Text prompts only: no visual prompts, and no fine-tuning afterwards.
    - Both prompts start from the same words, so that the detector starts undecided.
    - The loss is the mean over all complementary labels instead of one drawn, unclipped.
    - Clean samples are chosen once per epoch, on the mean of the views.
    - The context is shared whatever the settings say: with one per class, the negative prompts memorize labels.
    - The learning rate is 0.05. Where half of a class carries one wrong label, the first screening decides everything,
      and at 0.4 the positive prompts have then learned the wrong labels in some seeds.
    """
    shared = {"shared": True}
    pair = (
        TunerSpec("positive", "class-prompt", shared),
        TunerSpec("negative", "class-prompt", shared, votes=False),
    )
    return replace(
        plain("deft", pair, q=0.0, learning_rate=0.05),
        screen=screen.detected(right="positive", wrong="negative"),
        loss=detector.detecting(),
        warm_up_loss=detector.detecting(),
        warm_up=0.1,
        rounds=9,
    )


def clipcleaner() -> Method:
    """Return the selection of CLIPCleaner (Feng et al. 2024): labels that zero-shot and a linear probe agree on.

    As published: two Gaussians per class on the loss (0.5) and consistency (0.8), of zero-shot and of a balanced
    logistic regression, all four together, once and beforehand. Ours:

    - One prompt per class. The zero-shot probabilities are at the model's own temperature t, not at 0.07. At t the rule
      `p_y >= 0.8 max p` allows the given class a cosine that is t ln 1.25 lower than the best: 0.002 at CLIP's
      temperature of 0.01, 0.016 at 0.07, the temperature of the bundled model. With CLIP,
      `clipcleaner(screen=agreement(consistency=(0.2,0.8)))` allows 0.016 as well.
    - The penalty of the regression goes by the spread of the features (C = 3).
    - A class left empty keeps its most trusted sample; the released code takes the least trusted ones.
    - Prompts then learn the selected samples by cross-entropy, in place of a network with MixFix.
    """
    return replace(
        plain("clipcleaner", (MACRO,), q=0.0, learning_rate=0.2),
        screen=screen_features.agreement(),
        rectify=subset.clean_alone(),
    )


def double_prompts() -> Method:
    """Return Double Prompt Learners (Li 2024, the first forerunner of SRRS): a classifier and a discriminator.

    As published: several prompts per class, whose logits are averaged; prompts of clean and of noisy photos, with a
    shared context, learn whether the classifier agrees with the given label, and correct the labels it learns;
    cross-entropy for both. Ours:

    - 4 prompts, as in most runs of the post, in which their number matters little.
    - beta = 0.25 for every data set, between its best on DTD (0.4) and on Caltech101 (0.1).
    - `p_clean` compares the clean prompt with the noisy one at the given class.
    - Each step corrects the labels anew, so the audit keeps the given ones.
    """
    tuners = (
        TunerSpec("classifier", "class-prompt", {"prompts": 4, "average": "logits"}),
        TunerSpec("clean", "class-prompt", {"words": "a clean photo of a", "shared": True}, votes=False),
        TunerSpec("noisy", "class-prompt", {"words": "a noisy photo of a", "shared": True}, votes=False),
    )
    return replace(
        plain("double-prompts", tuners, q=0.0),
        screen=screen.detected(right="clean", wrong="noisy"),
        loss=detector.discriminating(beta=0.25),
        warm_up_loss=detector.discriminating(beta=0.25),
    )


def robust_similarity() -> Method:
    """Return Robust Similarity (Li 2024, the second forerunner of SRRS), which selects by prompts and by images.

    As published: alpha = 0.2 exp(epoch / 35) weighs the similarity to the prompts, the rest the closeness to images of
    the same label; two Gaussians per class; the first of 50 epochs learns every label, cross-entropy throughout. Ours:

    - 4 prompts per class instead of up to 6.
    - A screening every other epoch.
    - The prompt similarity is the log-probability of the given class instead of its cosine, so that it depends on the
      other classes.
    """
    return replace(
        plain("robust-similarity", (TunerSpec("macro", "class-prompt", {"prompts": 4}),), q=0.0, learning_rate=0.2),
        screen=screen.robust_similarity(rounds=ROUNDS),
        rectify=subset.clean_alone(),
        warm_up=0.02,
        rounds=ROUNDS,
    )


def confident_learning() -> Method:
    """Return confident learning (Northcutt et al. 2021), as cleanlab prunes by noise rate.

    As published: issues and ranking by out-of-fold self-confidence, learning without the issues. Ours: the predictions
    are those of a 5-fold logistic regression on the image features, and CoOp learns afterwards.
    """
    return replace(
        plain("confident", (MACRO,), q=0.0, learning_rate=0.1),
        screen=screen_features.confident_learning(),
        rectify=subset.clean_alone(),
    )


def lemon() -> Method:
    """Return LEMoN (Zhang et al. 2025): labels far from image, neighbors and like-labeled images are left out.

    As published: cosine distances, the paper's fixed hyperparameters, the threshold found without clean labels. Ours:
    the class vectors are those of the plain prompt, neighbors of a label are whole classes, and CoOp learns afterwards.
    """
    return replace(
        plain("lemon", (MACRO,), q=0.0, learning_rate=0.2), screen=screen_features.lemon(), rectify=subset.clean_alone()
    )


def simifeat(vote: bool = False) -> Method:
    """Return SimiFeat (Zhu et al. 2022): labels that their neighborhood contradicts are left out.

    As published: 10 labels weighted by similarity; ranking within the class, cut by HOC's estimate (SimiFeat-R), or
    with `vote` the majority (SimiFeat-V). Ours: one pass over the mean of the views instead of a majority over 21
    passes with new crops; HOC by maximum likelihood; CoOp learns afterwards.
    """
    rule = screen_features.simifeat_vote() if vote else screen_features.simifeat_rank()
    return replace(plain("simifeat", (MACRO,), q=0.0, learning_rate=0.1), screen=rule, rectify=subset.clean_alone())


def forward(matrix: Literal["dual-t", "hoc"] = "hoc") -> Method:
    """Return forward correction (Patrini et al. 2017) with an estimated transition matrix.

    The matrix is that of HOC (Zhu et al. 2021) or Dual-T (Yao et al. 2020). Dual-T needs confident predictions: with
    the bundled model, 16 images per class and half of the labels wrong it ranks no better than chance, while on strong
    features with 20 % symmetric noise it is the better of the two. Ours: the corrected classifier is logistic
    regression on the features, out of fold; its posterior given the label decides, and CoOp learns that posterior.
    """
    return replace(
        plain("forward", (MACRO,), q=0.0, learning_rate=0.1),
        screen=screen_features.forward_corrected(matrix),
        rectify=rectify.posterior(),
    )


def volminnet() -> Method:
    """Return VolMinNet (Li et al. 2021): classifier and transition matrix together, the matrix of least volume.

    Ours: as in `forward`; 100 full-batch steps of Adam instead of SGD over epochs.
    """
    return replace(
        plain("volminnet", (MACRO,), q=0.0, learning_rate=0.1),
        screen=screen_features.volminnet(),
        rectify=rectify.posterior(),
    )


def mbem() -> Method:
    """Return MBEM (Khetan et al. 2018): classifier and confusion matrix in turns, with one label per image.

    Ours: on frozen features; two rounds, out of fold; CoOp then learns the labels that the classifier predicts, too.
    """
    return replace(
        plain("mbem", (MACRO,), q=0.0, learning_rate=0.05), screen=screen_features.mbem(), rectify=subset.clean_alone()
    )
