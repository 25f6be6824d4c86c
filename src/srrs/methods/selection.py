"""Methods that learn the clean samples only, or that detect wrong labels by prompts."""

from dataclasses import replace
from typing import Literal

from srrs.methods import detector, rectify, screen, screen_features, subset
from srrs.methods.baselines import ROUNDS, plain
from srrs.methods.stages import MACRO, Method, TunerSpec


def deft() -> Method:
    """Return the noisy-label detector of DeFT (Wei et al. 2024): a positive and a negative prompt for each class.

    As published, a label is clean if the positive prompt of its class has a higher score than the negative prompt. The
    positive prompts learn the clean labels by cross-entropy. The negative prompts learn by negative learning: they
    learn complementary labels, the classes that an image does not show. In the first of ten epochs, every label counts
    as clean. All classes share one context, here also with the setting `context=class`, because with one context per
    class the negative prompts memorize labels. Differences from the published method:

    - Only text prompts are tuned. There are no visual prompts and no fine-tuning afterwards.
    - Both prompts start from the same words, so at first every label has the probability 0.5 of being clean.
    - The loss is the mean over all complementary labels, without clipping. DeFT draws one of them.
    - Clean samples are chosen once per epoch, from the mean of the views.
    - The learning rate is 0.05. If half of a class has the same wrong label, the result depends on the first screening.
      At the default rate of 0.4, for some seeds the positive prompts have learned the wrong labels before that
      screening.
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
    """Return CLIPCleaner (Feng et al. 2024): zero-shot prediction and logistic regression select the labels to learn.

    As published, a sample must pass four tests. Two tests are made with the zero-shot prediction, and the same two with
    a logistic regression with equal class weights. The first test fits two Gaussians per class to the loss: the
    probability of the component with the lower mean must be at least 0.5. The second test is consistency: the
    probability of the given label must be at least 0.8 times the highest one. The selection happens once, before
    training. Differences from the published method:

    - There is one prompt per class, and the zero-shot probabilities have the temperature t of the model, not 0.07. At
      t, the rule `p_y >= 0.8 max p` allows the given class a cosine that is t ln 1.25 below the highest: 0.002 for
      CLIP (t = 0.01), and 0.016 for the bundled model (t = 0.07). With CLIP,
      `clipcleaner(screen=agreement(consistency=(0.2,0.8)))` also allows 0.016.
    - The penalty of the regression depends on the spread of the features (C = 3).
    - If no sample of a class is selected, the sample with the highest score is selected. The released code selects the
      sample with the lowest score.
    - Prompts learn the selected samples by cross-entropy. CLIPCleaner trains a network with MixFix.
    """
    return replace(
        plain("clipcleaner", (MACRO,), q=0.0, learning_rate=0.2),
        screen=screen_features.agreement(),
        rectify=subset.clean_alone(),
    )


def double_prompts() -> Method:
    """Return Double Prompt Learners (Li 2024, the first forerunner of SRRS): a classifier and a discriminator.

    As published (in a blog post), the classifier averages the logits of several prompts per class. The discriminator
    has a prompt for clean images and a prompt for noisy images, with a shared context. It learns whether the classifier
    agrees with the given label. It also corrects the labels that the classifier learns, see
    `srrs.methods.detector.discriminating` for `beta`. Both learn by cross-entropy. Differences from the published
    method:

    - There are 4 prompts per class, as in most runs of the post. The post finds that their number matters little.
    - beta = 0.25 for every dataset. The best values in the post are 0.4 on DTD and 0.1 on Caltech101.
    - `p_clean` compares the clean prompt with the noisy prompt at the given class.
    - Labels are corrected in each training step and not stored, so the audit reports the given labels as rectified
      labels.
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

    As published, the score of a label is the weighted mean of two similarities. The similarity to the prompts has the
    weight alpha = 0.2 exp(epoch / 35), and the similarity to the images with the same label has the weight 1 - alpha. A
    mixture of two Gaussians per class splits the scores. In the first of 50 epochs every label is learned. The loss is
    cross-entropy. Differences from the published method:

    - There are 4 prompts per class instead of up to 6.
    - There is a screening in every second epoch.
    - The similarity to the prompts is the log-probability of the given class, not its cosine, so it also depends on the
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

    As published, labels are ranked by self-confidence (the out-of-fold probability of the given label), and training
    leaves out the labels that confident learning calls issues. Differences from the published method: the predictions
    come from a 5-fold logistic regression on the image features, and CoOp learns the other labels.
    """
    return replace(
        plain("confident", (MACRO,), q=0.0, learning_rate=0.1),
        screen=screen_features.confident_learning(),
        rectify=subset.clean_alone(),
    )


def lemon() -> Method:
    """Return LEMoN (Zhang et al. 2025), which leaves out labels that are far from their image and from its neighbors.

    As published, distances are cosine distances, the hyperparameters are the fixed ones of the paper, and the threshold
    is found without clean labels. Differences from the published method: the class vectors are those of the prompt
    `a photo of a {class}.`, the neighbors of a label are all images of the nearest classes, and CoOp learns the labels
    that are not left out.
    """
    return replace(
        plain("lemon", (MACRO,), q=0.0, learning_rate=0.2), screen=screen_features.lemon(), rectify=subset.clean_alone()
    )


def simifeat(vote: bool = False) -> Method:
    """Return SimiFeat (Zhu et al. 2022), which leaves out labels that contradict their neighborhood.

    As published, the method compares 10 labels, weighted by similarity. SimiFeat-R, the default, ranks the labels of a
    class, and the noise estimate of HOC determines how many are left out. SimiFeat-V, with `vote=True`, takes the
    majority of the neighbors. Differences from the published method: the features are the mean of the views, used once,
    instead of a majority over 21 passes with new crops; HOC is fitted by maximum likelihood; and CoOp learns the labels
    that are not left out.
    """
    rule = screen_features.simifeat_vote() if vote else screen_features.simifeat_rank()
    return replace(plain("simifeat", (MACRO,), q=0.0, learning_rate=0.1), screen=rule, rectify=subset.clean_alone())


def forward(matrix: Literal["dual-t", "hoc"] = "hoc") -> Method:
    """Return forward correction (Patrini et al. 2017) with an estimated transition matrix.

    HOC (Zhu et al. 2021) or Dual-T (Yao et al. 2020) estimates the matrix. Dual-T needs confident predictions. With the
    bundled model, 16 images per class and half of the labels wrong, the ranking with Dual-T is no better than chance.
    On strong features with 20 % symmetric noise, Dual-T is better than HOC.

    Differences from the published method: the corrected classifier is a logistic regression on the features, out of
    fold. Screening uses the posterior of the true class given the prediction and the given label, and CoOp learns this
    posterior.
    """
    return replace(
        plain("forward", (MACRO,), q=0.0, learning_rate=0.1),
        screen=screen_features.forward_corrected(matrix),
        rectify=rectify.posterior(),
    )


def volminnet() -> Method:
    """Return VolMinNet (Li et al. 2021): a classifier and the transition matrix of least volume, learned together.

    Differences from the published method: those of `forward`, and 100 full-batch steps of Adam instead of epochs of
    SGD.
    """
    return replace(
        plain("volminnet", (MACRO,), q=0.0, learning_rate=0.1),
        screen=screen_features.volminnet(),
        rectify=rectify.posterior(),
    )


def mbem() -> Method:
    """Return MBEM (Khetan et al. 2018): a classifier and a confusion matrix, fitted in turns, with one label per image.

    Differences from the published method: the classifier is a logistic regression on frozen features, out of fold, in
    two rounds. CoOp then learns only the given labels that the classifier predicts.
    """
    return replace(
        plain("mbem", (MACRO,), q=0.0, learning_rate=0.05), screen=screen_features.mbem(), rectify=subset.clean_alone()
    )
