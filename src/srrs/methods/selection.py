"""Methods that select clean samples and learn those alone, or that detect wrong labels by prompts."""

from dataclasses import replace

from srrs.methods import detector, screen, subset
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
    """
    shared = {"shared": True}
    pair = TunerSpec("positive", "class-prompt", shared), TunerSpec("negative", "class-prompt", shared, votes=False)
    return replace(
        plain("deft", pair, q=0.0),
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
      temperature of 0.01, 0.016 at 0.07. `clipcleaner(screen=agreement(consistency=(0.2,0.8)))` allows 0.016 at 0.01.
    - The penalty of the regression goes by the spread of the features (C = 3).
    - A class left empty keeps its most trusted sample; the released code takes the least trusted ones.
    - Prompts then learn the selected samples by cross-entropy, in place of a network with MixFix.
    """
    return replace(plain("clipcleaner", (MACRO,), q=0.0), screen=screen.agreement(), rectify=subset.clean_alone())


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
        plain("robust-similarity", (TunerSpec("macro", "class-prompt", {"prompts": 4}),), q=0.0),
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
        plain("confident", (MACRO,), q=0.0), screen=screen.confident_learning(), rectify=subset.clean_alone()
    )
