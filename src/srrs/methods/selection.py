"""Methods that select clean samples and learn those alone, or that detect wrong labels by prompts."""

from dataclasses import replace
from typing import Literal

from srrs.methods import detector, rectify, screen, screen_features, subset
from srrs.methods.baselines import ROUNDS, plain
from srrs.methods.stages import MACRO, Method, TunerSpec


def deft() -> Method:
    """Return the noisy-label detector of DeFT (Wei et al. 2024): a positive and a negative prompt for each class.

    As published, a label is clean if the positive prompt of its class has the higher score. The positive prompts learn
    the clean labels by cross-entropy, the negative ones by negative learning. In the first of ten epochs every label
    counts as clean. The context is shared. Differences:

    - Only text prompts are tuned. There are no visual prompts and no fine-tuning afterwards.
    - Both prompts start from the same words, so the detector starts undecided.
    - The loss is the mean over all complementary labels, without clipping. DeFT draws one of them.
    - Clean samples are chosen once per epoch, on the mean of the views.
    - The context is shared whatever the settings say. With one context per class, the negative prompts memorize labels.
    - The learning rate is 0.05. If half of a class has the same wrong label, the first screening decides everything. At
      0.4, the positive prompts then have learned the wrong labels in some seeds.
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

    As published, four tests select a sample: two Gaussians per class on the loss (0.5), and consistency (0.8), each for
    the zero-shot prediction and for a balanced logistic regression. The selection happens once, before training.
    Differences:

    - There is one prompt per class, and the zero-shot probabilities have the temperature t of the model, not 0.07. At
      t, the rule `p_y >= 0.8 max p` allows the given class a cosine that is t ln 1.25 below the highest: 0.002 for
      CLIP (t = 0.01), and 0.016 for the bundled model (t = 0.07). With CLIP,
      `clipcleaner(screen=agreement(consistency=(0.2,0.8)))` also allows 0.016.
    - The penalty of the regression depends on the spread of the features (C = 3).
    - A class without selected samples keeps the sample with the highest score. The released code keeps the lowest.
    - Prompts then learn the selected samples by cross-entropy. CLIPCleaner trains a network with MixFix.
    """
    return replace(
        plain("clipcleaner", (MACRO,), q=0.0, learning_rate=0.2),
        screen=screen_features.agreement(),
        rectify=subset.clean_alone(),
    )


def double_prompts() -> Method:
    """Return Double Prompt Learners (Li 2024, the first forerunner of SRRS): a classifier and a discriminator.

    As published, the classifier averages the logits of several prompts per class. The discriminator has a prompt for
    clean and one for noisy photos, with a shared context. It learns whether the classifier agrees with the given label,
    and corrects the labels that the classifier learns. Both learn by cross-entropy. Differences:

    - There are 4 prompts, as in most runs of the post. It finds that their number matters little.
    - beta = 0.25 for every dataset. The best values of the post are 0.4 on DTD and 0.1 on Caltech101.
    - `p_clean` compares the clean prompt with the noisy prompt at the given class.
    - Every step corrects the labels anew, so the audit keeps the given labels.
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

    As published, alpha = 0.2 exp(epoch / 35) is the weight of the similarity to the prompts. The rest is the weight of
    the closeness to images with the same label. Two Gaussians per class split the score. In the first of 50 epochs
    every label is learned. The loss is cross-entropy. Differences:

    - There are 4 prompts per class instead of up to 6.
    - There is a screening in every other epoch.
    - The similarity to the prompts is the log-probability of the given class, not its cosine. It then depends on the
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
    """Return confident learning (Northcutt et al. 2021), with cleanlab's pruning by noise rate.

    As published, labels are ranked by out-of-fold self-confidence, and training leaves out the issues. Differences: the
    predictions come from a 5-fold logistic regression on the image features, and CoOp learns the other labels.
    """
    return replace(
        plain("confident", (MACRO,), q=0.0, learning_rate=0.1),
        screen=screen_features.confident_learning(),
        rectify=subset.clean_alone(),
    )


def lemon() -> Method:
    """Return LEMoN (Zhang et al. 2025), which leaves out labels that are far from image, neighbors and similar labels.

    As published, distances are cosine distances, the hyperparameters are the fixed ones of the paper, and the threshold
    is found without clean labels. Differences: the class vectors are those of the plain prompt, the neighbors of a
    label are whole classes, and CoOp learns the other labels.
    """
    return replace(
        plain("lemon", (MACRO,), q=0.0, learning_rate=0.2), screen=screen_features.lemon(), rectify=subset.clean_alone()
    )


def simifeat(vote: bool = False) -> Method:
    """Return SimiFeat (Zhu et al. 2022), which leaves out labels that contradict their neighborhood.

    As published, it compares 10 labels, weighted by similarity. SimiFeat-R ranks the labels of a class, and the noise
    estimate of HOC decides how many are left out. SimiFeat-V, with `vote`, takes the majority of the neighbors.
    Differences: there is one pass over the mean of the views, instead of a majority over 21 passes with new crops. HOC
    is fitted by maximum likelihood. CoOp learns the other labels.
    """
    rule = screen_features.simifeat_vote() if vote else screen_features.simifeat_rank()
    return replace(plain("simifeat", (MACRO,), q=0.0, learning_rate=0.1), screen=rule, rectify=subset.clean_alone())


def forward(matrix: Literal["dual-t", "hoc"] = "hoc") -> Method:
    """Return forward correction (Patrini et al. 2017) with an estimated transition matrix.

    The matrix is that of HOC (Zhu et al. 2021) or Dual-T (Yao et al. 2020). Dual-T needs confident predictions. With
    the bundled model, 16 images per class and half of the labels wrong, it ranks no better than chance. On strong
    features with 20 % symmetric noise it is better than HOC.

    Differences: the corrected classifier is logistic regression on the features, out of fold. Its posterior given the
    label decides, and CoOp learns this posterior.
    """
    return replace(
        plain("forward", (MACRO,), q=0.0, learning_rate=0.1),
        screen=screen_features.forward_corrected(matrix),
        rectify=rectify.posterior(),
    )


def volminnet() -> Method:
    """Return VolMinNet (Li et al. 2021): a classifier and the transition matrix of least volume, learned together.

    Differences: those of `forward`, and 100 full-batch steps of Adam instead of SGD over epochs.
    """
    return replace(
        plain("volminnet", (MACRO,), q=0.0, learning_rate=0.1),
        screen=screen_features.volminnet(),
        rectify=rectify.posterior(),
    )


def mbem() -> Method:
    """Return MBEM (Khetan et al. 2018): a classifier and a confusion matrix in turns, with one label per image.

    Differences: the classifier works on frozen features, in two rounds, out of fold. CoOp then learns the labels that
    the classifier also predicts.
    """
    return replace(
        plain("mbem", (MACRO,), q=0.0, learning_rate=0.05), screen=screen_features.mbem(), rectify=subset.clean_alone()
    )
