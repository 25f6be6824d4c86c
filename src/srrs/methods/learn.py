"""Losses of a training step, and functions that weight and mix the rows of a step.

The rows of a step are its B pairs of a sample and a view (see `LabeledBatch`). C classes.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import overload

import numpy as np
import torch
from torch import Tensor

from srrs.core import losses
from srrs.core.labels import mixup_pairs
from srrs.methods.stages import LabeledBatch, Loss, Prepare
from srrs.records import Batch

Divergence = Callable[[Tensor, Tensor], Tensor]
"""`(log_p (B, C), log_q (B, C)) -> (B,)`: a divergence between two predictions."""


def _weighted_mean(per_sample: Tensor, weight: Tensor) -> Tensor:
    return (per_sample * weight).sum() / weight.sum().clamp(min=1e-6)


def cross_entropy() -> Loss:
    """Return the sum of the tuners' cross-entropies with the soft targets (paper, Eq. 2)."""
    return generalized(0.0)


def generalized(q: float) -> Loss:
    """Return the sum of the tuners' generalized cross-entropies (Zhang and Sabuncu 2018).

    `q` = 0 is cross-entropy, `q` = 1 is mean absolute error.
    """

    def loss(logits: Tensor, batch: LabeledBatch) -> Tensor:
        per_tuner = [losses.generalized_cross_entropy(each, batch.soft, q) for each in logits.log_softmax(2)]
        return _weighted_mean(torch.stack(per_tuner).sum(0), batch.weight)

    return loss


def double_softmax() -> Loss:
    """Return the sum of the tuners' cross-entropies after a second softmax (DSPT, arXiv 2605.00591).

    The first softmax turns logits into probabilities. The second one is applied to these probabilities.
    """

    def loss(logits: Tensor, batch: LabeledBatch) -> Tensor:
        per_tuner = [losses.double_softmax_cross_entropy(each, batch.soft) for each in logits.log_softmax(2)]
        return _weighted_mean(torch.stack(per_tuner).sum(0), batch.weight)

    return loss


def co_regularized(
    q: float = 0.0,
    consistency: float = 0.5,
    prior: float = 1.0,
    confidence: float = 0.0,
    divergence: Divergence = losses.jeffreys,
) -> Loss:
    """Return the sum of the tuners' losses, plus the disagreement of the first two tuners and a prior term.

    The disagreement is that of the paper, Eq. 3.

    Parameters
    ----------
    q : exponent of the generalized cross-entropy of each tuner.
    consistency : weight of the disagreement.
    prior : weight of the prior term KL(uniform, mean prediction), one for each tuner.
    confidence : weight of the tuners' entropy, which is subtracted from the loss, as in the warm-up of JoAPR and of the
        released code of SRRS.
    divergence : measures the disagreement. The default is Jeffreys' divergence, as in the formula of the paper. The
        text of the paper names the Jensen-Shannon divergence.
    """
    base = generalized(q)

    def loss(logits: Tensor, batch: LabeledBatch) -> Tensor:
        total, weight, log_probs = base(logits, batch), batch.weight, logits.log_softmax(2)
        if len(log_probs) > 1 and consistency:
            total = total + consistency * _weighted_mean(divergence(log_probs[0], log_probs[1]), weight)
        for each in log_probs:
            if prior:
                total = total + prior * losses.prior_penalty(each, weight)
            if confidence:
                total = total - confidence * _weighted_mean(losses.entropy(each), weight)
        return total

    return loss


def paced(q: float = 0.25) -> Loss:
    """Return the sum of the tuners' rescaled generalized cross-entropies.

    The gradient of generalized cross-entropy is the gradient of cross-entropy times p^q, where p is the probability of
    the target class. With many classes, p is small at first, and learning is slow. Therefore the loss of each tuner is
    divided by the mean of p^q over the step. Samples with a small p still count less than others, but the gradient is
    about as large as with cross-entropy.
    """
    base = generalized(q)

    def loss(logits: Tensor, batch: LabeledBatch) -> Tensor:
        total = logits.new_zeros(())
        for number, log_probs in enumerate(logits.log_softmax(2)):
            factor = (batch.soft * log_probs.detach().exp() ** q).sum(1)
            pace = _weighted_mean(factor, batch.weight).clamp(min=1e-3)
            total = total + base(logits[number : number + 1], batch) / pace
        return total

    return loss


def as_given() -> Prepare:
    """Return the `prepare` stage that leaves the rows of a step unchanged."""

    def prepare(batch: LabeledBatch, generator: np.random.Generator) -> LabeledBatch:
        return batch

    return prepare


def mixup_unmatched(alpha: float = 0.75, matched_weight: float = 2.0) -> Prepare:
    """Return the `prepare` stage that mixes each unmatched sample with a matched sample (paper, section 3.3).

    A sample is matched if its image matches its rectified label according to re-screening. Matched samples are not
    mixed.

    Parameters
    ----------
    alpha : an unmatched sample keeps the share max(l, 1 - l), where l ~ Beta(alpha, alpha). The paper names MixMatch,
        whose alpha is 0.75. The released code uses 0.001, which mixes nothing.
    matched_weight : weight of the matched samples. It is 2 because the released code trains twice on each matched
        sample: once mixed, and once unmixed.
    """

    def prepare(batch: LabeledBatch, generator: np.random.Generator) -> LabeledBatch:
        partner, own = mixup_pairs(batch.is_match.cpu().numpy(), alpha, generator)
        rows = torch.from_numpy(partner).to(batch.soft.device)
        share = torch.from_numpy(own).to(batch.soft)
        return replace(
            batch,
            inputs=Batch(_mixed(batch.inputs.features, rows, share), _mixed(batch.inputs.pixels, rows, share)),
            soft=_mixed(batch.soft, rows, share),
            weight=torch.where(batch.is_match, matched_weight * batch.weight, batch.weight),
        )

    return prepare


@overload
def _mixed(values: Tensor, rows: Tensor, share: Tensor) -> Tensor: ...
@overload
def _mixed(values: None, rows: Tensor, share: Tensor) -> None: ...
def _mixed(values: Tensor | None, rows: Tensor, share: Tensor) -> Tensor | None:
    """Return `share` (B,) of each entry of `values` (B, ...), plus the remaining share of its partner `rows` (B,)."""
    if values is None:
        return None
    share = share.to(values).view(-1, *[1] * (values.ndim - 1))
    return share * values + (1 - share) * values[rows]
