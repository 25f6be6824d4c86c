"""Losses on log-probabilities, differentiable and finite even where a probability is exactly zero.

B samples, C classes. Half-precision inputs are lifted to float32 before any sum, and a log-probability counts as at
least -1e4, so that `0 * log 0` is 0, and a certain mistake costs much but not infinity.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

Consistency = Literal["jeffreys", "js"]

_LOWEST = -1e4


@dataclass(frozen=True)
class LogProbs:
    """Log-probabilities (B, C) with the values that several losses of the same prediction share."""

    log: Tensor
    probs: Tensor

    @cached_property
    def entropy(self) -> Tensor:
        """Return the entropy (B,) in nats."""
        return -(self.probs * self.log).sum(-1)


def as_log_probs(log_probs: Tensor | LogProbs) -> LogProbs:
    """Prepare log-probabilities for several losses, so that their exponentials are computed once."""
    if isinstance(log_probs, LogProbs):
        return log_probs
    log_p = _safe(log_probs)
    return LogProbs(log_p, log_p.exp())


def _safe(log_probs: Tensor) -> Tensor:
    if log_probs.dtype in (torch.float16, torch.bfloat16):
        log_probs = log_probs.float()
    return log_probs.clamp(min=_LOWEST)


def soft_cross_entropy(log_probs: Tensor, soft: Tensor) -> Tensor:
    """Return the cross-entropy with soft targets: (B, C), (B, C) -> (B,)."""
    log_p = _safe(log_probs)
    return -(soft.to(log_p.dtype) * log_p).sum(-1)


def generalized_cross_entropy(log_probs: Tensor, soft: Tensor, q: float) -> Tensor:
    """Return `(1 - p^q) / q`, weighted by soft targets (Zhang and Sabuncu 2018): (B, C), (B, C) -> (B,).

    `q = 0` is cross-entropy, `q = 1` is `1 - p`, half of the mean absolute error; between them the loss is continuous
    in q. Raises ValueError unless 0 <= q <= 1.
    """
    if not 0 <= q <= 1:
        raise ValueError(f"Expected q between 0 (cross-entropy) and 1 (absolute error), but got {q}")
    if q == 0:
        return soft_cross_entropy(log_probs, soft)
    log_p = _safe(log_probs)
    return -(soft.to(log_p.dtype) * torch.expm1(q * log_p)).sum(-1) / q


def jeffreys(log_p: Tensor | LogProbs, log_q: Tensor | LogProbs) -> Tensor:
    """Return the symmetric divergence `KL(p||q) + KL(q||p)` (paper, Eq. 3): (B, C), (B, C) -> (B,), >= 0."""
    p, q = as_log_probs(log_p), as_log_probs(log_q)
    return ((p.probs - q.probs) * (p.log - q.log)).sum(-1)


def jensen_shannon(log_p: Tensor | LogProbs, log_q: Tensor | LogProbs) -> Tensor:
    """Return the mean divergence from the mixture of both: (B, C), (B, C) -> (B,), 0 to ln 2.

    That is the entropy of the mixture less the mean entropy, which takes one logarithm per class.
    """
    p, q = as_log_probs(log_p), as_log_probs(log_q)
    mixture = (p.probs + q.probs) / 2
    mixed = LogProbs(mixture.clamp(min=torch.finfo(mixture.dtype).tiny).log(), mixture)
    return (entropy(mixed) - (entropy(p) + entropy(q)) / 2).clamp(0, math.log(2))


def entropy(log_probs: Tensor | LogProbs) -> Tensor:
    """Return the entropy in nats: (B, C) -> (B,), 0 to ln C."""
    return as_log_probs(log_probs).entropy


def prior_penalty(log_probs: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return `KL(uniform || mean prediction)` of a batch. It keeps every class in use (DivideMix).

    (B, C) -> scalar, >= 0. `weight` (B,) weighs the rows in the mean.
    """
    log_p = _safe(log_probs)
    batch, classes = log_p.shape
    if weight is None:
        log_mean = torch.logsumexp(log_p, 0) - math.log(batch)
    else:
        share = weight.to(log_p.dtype) / weight.sum().clamp(min=1e-6)
        log_mean = torch.logsumexp(log_p + share.clamp(min=1e-30).log()[:, None], 0)
    return -math.log(classes) - log_mean.mean()


def double_softmax_cross_entropy(log_probs: Tensor, soft: Tensor) -> Tensor:
    """Return the cross-entropy of the softmax of probabilities (DSPT, arXiv 2605.00591): (B, C), (B, C) -> (B,).

    The second softmax sees values in 0..1, so the loss of a sample lies within 1 of ln(C - 1 + e) and its gradient is
    that of cross-entropy on the probabilities: bounded, and small for a sample that the model contradicts.
    """
    probs = _safe(log_probs).exp()
    return soft_cross_entropy(probs.log_softmax(-1), soft)


def screening_loss(
    log_macro: Tensor | LogProbs,
    log_micro: Tensor | LogProbs,
    labels: Tensor,
    *,
    consistency: Consistency = "jeffreys",
    weight: float = 0.5,
    entropy_weight: float = 0.001,
) -> Tensor:
    """Return the loss of two classifiers that SRRS screens with (paper, Eq. 2-5): (B, C), (B, C), (B,) -> (B,).

    Cross-entropy of each classifier with the given label, plus `weight` times their disagreement, plus `entropy_weight`
    times their entropies.
    """
    if consistency not in ("jeffreys", "js"):
        raise ValueError(f"Expected the consistency 'jeffreys' or 'js', but got {consistency!r}")
    divergence = jeffreys if consistency == "jeffreys" else jensen_shannon
    macro, micro, given = as_log_probs(log_macro), as_log_probs(log_micro), labels.unsqueeze(-1)
    match = macro.log.gather(-1, given) + micro.log.gather(-1, given)
    doubt = entropy(macro) + entropy(micro)
    return -match.squeeze(-1) + weight * divergence(macro, micro) + entropy_weight * doubt
