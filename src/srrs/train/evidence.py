"""Gathers the evidence a screening decides on."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from srrs.core.losses import jensen_shannon, screening_loss, soft_cross_entropy
from srrs.records import Evidence, Floats
from srrs.train.task import Task


@torch.no_grad()
def gather(task: Task, weights: Tensor, zero_shot: Floats, voters: int | None = None) -> Evidence:
    """Evidence of every sample from the learners' class weights (learners, C, D), averaged over all views.

    Probabilities average the views' logits. The loss is the paper's Eq. 5 of the first two learners, and plain
    cross-entropy for one. Only the first `voters` learners classify; of the others, stages see the logits.
    """
    scale = task.model.logit_scale
    logits = scale * torch.einsum("nd,kcd->nkc", task.mean_view, weights)
    log_probs = logits[:, :voters].log_softmax(2)
    labels = torch.from_numpy(np.asarray(task.labels)).to(log_probs.device)
    given = F.one_hot(labels, weights.shape[1]).to(log_probs.dtype)
    if log_probs.shape[1] > 1:
        loss = screening_loss(log_probs[:, 0], log_probs[:, 1], labels)
        agreement = 1 - jensen_shannon(log_probs[:, 0], log_probs[:, 1]) / np.log(2)
    else:
        loss = soft_cross_entropy(log_probs[:, 0], given)
        agreement = torch.ones_like(loss)
    return Evidence(
        ids=task.ids,
        labels=np.asarray(task.labels),
        probs=log_probs.exp().cpu().numpy(),
        zero_shot=zero_shot,
        features=F.normalize(task.mean_view, dim=1).cpu().numpy(),
        loss=loss.cpu().numpy(),
        agreement=agreement.clamp(0, 1).cpu().numpy(),
        logits=None if voters is None else logits.cpu().numpy(),
        match=task.match,
    )


@torch.no_grad()
def predict(model_scale: float, features: Tensor, weights: Tensor) -> Tensor:
    """(B, C) probabilities: the learners' logits are averaged (features (B, D), weights (learners, C, D))."""
    return (model_scale * torch.einsum("nd,kcd->nkc", features, weights).mean(1)).softmax(1)
