"""Gathers the evidence a screening decides on."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from srrs.core.blocks import by_blocks, is_large, release
from srrs.core.losses import Belief, believed, jensen_shannon, screening_loss, soft_cross_entropy
from srrs.records import Evidence, Floats, Ints
from srrs.train.task import Task


@torch.no_grad()
def gather(task: Task, weights: Tensor, zero_shot: Floats, voters: int | None = None) -> Evidence:
    """Evidence of every sample from the learners' class weights (learners, C, D), averaged over all views.

    Probabilities average the views' logits. The loss is the paper's Eq. 5 of the first two learners, and plain
    cross-entropy for one. Only the first `voters` learners classify; of the others, stages see the logits. Very many
    samples are taken in blocks of rows, and arrays of gigabytes lie in temporary files.
    """
    labels = np.asarray(task.labels)
    large = is_large(len(labels))

    def of(rows: slice) -> dict[str, Tensor]:
        view = task.mean_view_of(rows)
        arrays = _believed(task.model.logit_scale, view, weights, labels[rows], voters)
        if large and not task.views.shape[1]:
            release(task.plain)
        else:
            arrays["features"] = F.normalize(view, dim=1).to(torch.float16 if large else torch.float32)
        return arrays

    found = by_blocks(len(labels), of)
    return Evidence(
        ids=task.ids,
        labels=labels,
        probs=found["probs"],
        zero_shot=zero_shot,
        features=found.get("features", task.plain),
        loss=found["loss"],
        agreement=found["agreement"],
        logits=found.get("logits"),
        match=task.match,
    )


def _believed(scale: float, view: Tensor, weights: Tensor, given: Ints, voters: int | None) -> dict[str, Tensor]:
    """What the learners say of some samples; see `gather`."""
    logits = torch.einsum("nd,kcd->nkc", view, scale * weights)
    every = believed(logits[:, :voters].log_softmax(2))
    first, *others = map(Belief, every.log.unbind(1), every.probs.unbind(1))
    labels = torch.from_numpy(given).to(logits.device)
    if others:
        loss = screening_loss(first, others[0], labels)
        agreement = 1 - jensen_shannon(first, others[0]) / np.log(2)
    else:
        loss = soft_cross_entropy(first.log, F.one_hot(labels, weights.shape[1]).to(logits.dtype))
        agreement = torch.ones_like(loss)
    advice = {} if voters is None else {"logits": logits}
    return {"probs": every.probs, "loss": loss, "agreement": agreement.clamp(0, 1), **advice}


@torch.no_grad()
def zero_shot_probs(task: Task, weights: Tensor) -> Floats:
    """(N, C) predictions of untuned class weights (C, D), averaged over all views; or those the task brings."""
    if task.zero_shot is not None:
        return task.zero_shot

    def of(rows: slice) -> dict[str, Tensor]:
        logits = task.mean_view_of(rows) @ (task.model.logit_scale * weights).T
        if is_large(len(task.labels)):
            release(task.plain)
        return {"probs": logits.softmax(1)}

    return by_blocks(len(task.labels), of)["probs"]


@torch.no_grad()
def predict(model_scale: float, features: Tensor, weights: Tensor) -> Tensor:
    """(B, C) probabilities: the learners' logits are averaged (features (B, D), weights (learners, C, D))."""
    return (model_scale * torch.einsum("nd,kcd->nkc", features, weights).mean(1)).softmax(1)
