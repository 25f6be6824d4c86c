"""Losses of methods with detectors: prompts that do not classify, but learn whether a given label is right.

Each class has one prompt for right labels (positive, clean) and one for wrong labels (negative, noisy).
"""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, one_hot

from srrs.core.losses import soft_cross_entropy
from srrs.methods.learn import generalized
from srrs.methods.stages import LabeledBatch, Loss
from srrs.records import Group


def detecting() -> Loss:
    """Return the loss of DeFT for the logits of a positive and a negative prompt per class.

    The loss has two parts. First, the positive prompts learn to classify the clean samples. Second, the negative
    prompts learn the threshold between clean and noisy labels: at one class of each sample, the positive prompt must
    have a larger logit than the negative prompt; at every class but the given label, the negative prompt must have the
    larger logit. The one class is the given label if the sample is clean, else the predicted class. The gradient of the
    second part does not reach the positive prompts.
    """

    def loss(logits: Tensor, batch: LabeledBatch) -> Tensor:
        positive, negative = logits
        given, is_clean = batch.soft.argmax(1), batch.group == Group.CLEAN
        # Positive prompts: cross-entropy on clean samples
        per_sample = is_clean * soft_cross_entropy(positive.log_softmax(1), batch.soft)
        classified = (per_sample * batch.weight).sum() / (is_clean * batch.weight).sum().clamp(min=1e-6)
        # Negative prompts: the chance that the positive prompt of a class has a larger logit than the negative prompt
        margin = positive.detach() - negative
        label = torch.where(is_clean, given, positive.argmax(1))[:, None]
        missed = -logsigmoid(margin).gather(1, label).squeeze(1)
        alarms = -logsigmoid(-margin).scatter(1, given[:, None], 0.0).sum(1) / (margin.shape[1] - 1)
        detected = ((missed + alarms) * batch.weight).sum() / batch.weight.sum().clamp(min=1e-6)
        total: Tensor = classified + detected
        return total

    return loss


def discriminating(beta: float = 0.25, q: float = 0.0) -> Loss:
    """Return the loss of Double Prompt Learners for a classifier and a detector (prompts of clean and noisy images).

    The detector learns that a given label is clean if the classifier predicts this label. The classifier learns a
    corrected label. If a clean prompt has the largest logit of all detector prompts, the corrected label is the class
    of that prompt. Otherwise it is the class with the largest entry of `beta * noisy logits + (1 - beta) * given label`
    (one-hot). `q` is the exponent of the generalized cross-entropy.
    """
    base = generalized(q)

    def loss(logits: Tensor, batch: LabeledBatch) -> Tensor:
        classifier, clean, noisy = logits
        detector = torch.cat([clean, noisy], 1)
        classes = clean.shape[1]
        with torch.no_grad():
            agrees = (classifier.argmax(1) == batch.soft.argmax(1))[:, None]
            verdict = torch.cat([batch.soft * agrees, batch.soft * ~agrees], 1)
            found, mixed = detector.argmax(1), (beta * noisy + (1 - beta) * batch.soft).argmax(1)
            label = one_hot(torch.where(found < classes, found, mixed), classes).to(batch.soft)
        return base(classifier[None], replace(batch, soft=label)) + base(detector[None], replace(batch, soft=verdict))

    return loss
