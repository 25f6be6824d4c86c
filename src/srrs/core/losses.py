"""Losses on log-probabilities. They are differentiable, and finite even if a probability is exactly zero.

B samples, C classes. Half-precision inputs are converted to float32 before any sum. A log-probability below -1e4 counts
as -1e4. Therefore `0 * log 0` is 0, and a wrong prediction with the probability 1 has a large but finite loss.
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
    """Log-probabilities (B, C) with their probabilities and entropy, for several losses of the same prediction."""

    log: Tensor
    probs: Tensor

    @cached_property
    def entropy(self) -> Tensor:
        """Return the entropy (B,) in nats."""
        return -(self.probs * self.log).sum(-1)


def as_log_probs(log_probs: Tensor | LogProbs) -> LogProbs:
    """Return log-probabilities (B, C) for several losses, so that their exponentials are computed only once."""
    if isinstance(log_probs, LogProbs):
        return log_probs
    log_p = _safe(log_probs)
    return LogProbs(log_p, log_p.exp())


def _safe(log_probs: Tensor) -> Tensor:
    """Return log-probabilities of at least `_LOWEST`, in float32 or float64."""
    if log_probs.dtype in (torch.float16, torch.bfloat16):
        log_probs = log_probs.float()
    return log_probs.clamp(min=_LOWEST)


def soft_cross_entropy(log_probs: Tensor, soft: Tensor) -> Tensor:
    """Return the cross-entropy with soft targets: (B, C), (B, C) -> (B,)."""
    log_p = _safe(log_probs)
    return -(soft.to(log_p.dtype) * log_p).sum(-1)


def generalized_cross_entropy(log_probs: Tensor, soft: Tensor, q: float) -> Tensor:
    """Return `(1 - p^q) / q`, weighted by soft targets (Zhang and Sabuncu 2018): (B, C), (B, C) -> (B,).

    `q = 0` is cross-entropy. `q = 1` is `1 - p`, half of the mean absolute error. The loss is continuous in q. Raises
    ValueError unless 0 <= q <= 1.
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
    """Return the Jensen-Shannon divergence: (B, C), (B, C) -> (B,), 0 to ln 2.

    It is the mean divergence of both distributions from their mean. It is computed as the entropy of the mean
    distribution minus the mean of the entropies, which needs one logarithm per class.
    """
    p, q = as_log_probs(log_p), as_log_probs(log_q)
    mixture = (p.probs + q.probs) / 2
    mixed = LogProbs(mixture.clamp(min=torch.finfo(mixture.dtype).tiny).log(), mixture)
    return (entropy(mixed) - (entropy(p) + entropy(q)) / 2).clamp(0, math.log(2))


def entropy(log_probs: Tensor | LogProbs) -> Tensor:
    """Return the entropy in nats: (B, C) -> (B,), 0 to ln C."""
    return as_log_probs(log_probs).entropy


def prior_penalty(log_probs: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return `KL(uniform || mean prediction)` of a batch: (B, C) -> scalar, >= 0.

    The penalty prevents that some classes are never predicted (DivideMix). `weight` (B,) weights the samples in the
    mean.
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

    The inputs of the second softmax are between 0 and 1. Therefore the loss of a sample differs from ln(C - 1 + e) by
    at most 1. The gradient of the loss is bounded, and small for a sample whose label the model contradicts.
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
    """Return the screening loss of SRRS for two classifiers (paper, Eq. 2-5): (B, C), (B, C), (B,) -> (B,).

    The loss is the sum of the classifiers' cross-entropies with the given label, plus `weight` times their
    disagreement, plus `entropy_weight` times the sum of their entropies. `consistency` measures the disagreement:
    "jeffreys" or "js". Any other text raises ValueError.
    """
    if consistency not in ("jeffreys", "js"):
        raise ValueError(f"Expected the consistency 'jeffreys' or 'js', but got {consistency!r}")
    divergence = jeffreys if consistency == "jeffreys" else jensen_shannon
    macro, micro, given = as_log_probs(log_macro), as_log_probs(log_micro), labels.unsqueeze(-1)
    match = macro.log.gather(-1, given) + micro.log.gather(-1, given)
    doubt = entropy(macro) + entropy(micro)
    return -match.squeeze(-1) + weight * divergence(macro, micro) + entropy_weight * doubt
