"""Probabilities and losses of tuned classifiers, from their logits. N samples, C classes.

Each function takes a sequence of logits (N, C), one array per classifier. Very many samples are processed in blocks.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from srrs.core.blocks import by_blocks
from srrs.core.losses import LogProbs, as_log_probs, entropy, screening_loss, soft_cross_entropy
from srrs.records import Floats, Ints

Logits = Sequence[Floats]
"""Logits (N, C) of each classifier."""


def mean_probs(logits: Logits) -> Floats:
    """Return the mean (N, C) of the classifiers' probabilities, in float32."""

    def of(rows: slice) -> dict[str, Tensor]:
        return {"probs": torch.stack([each.probs for each in _predictions(logits, rows)], 1).mean(1)}

    return by_blocks(len(logits[0]), of)["probs"]


def given_probs(logits: Logits, labels: Ints) -> Floats:
    """Return the mean (N,) of the classifiers' probabilities for the given label (N,)."""

    def of(rows: slice) -> dict[str, Tensor]:
        given = torch.tensor(labels[rows])[:, None]
        return {"probs": torch.cat([each.probs.gather(1, given) for each in _predictions(logits, rows)], 1).mean(1)}

    return by_blocks(len(labels), of)["probs"]


def mean_entropy(logits: Logits) -> Floats:
    """Return the mean (N,) of the classifiers' entropies, in nats."""

    def of(rows: slice) -> dict[str, Tensor]:
        return {"entropy": torch.stack([entropy(each) for each in _predictions(logits, rows)]).mean(0)}

    return by_blocks(len(logits[0]), of)["entropy"]


def screening_losses(logits: Logits, labels: Ints) -> Floats:
    """Return the screening loss (N,) of SRRS for the given labels (N,).

    The loss is that of the paper (Eq. 5) for the first two classifiers, and cross-entropy if there is only one.
    """

    def of(rows: slice) -> dict[str, Tensor]:
        given = torch.from_numpy(np.asarray(labels)[rows])
        first, *others = _predictions(logits[:2], rows)
        if others:
            return {"loss": screening_loss(first, others[0], given)}
        soft = torch.nn.functional.one_hot(given, first.log.shape[1]).to(first.log.dtype)
        return {"loss": soft_cross_entropy(first.log, soft)}

    return by_blocks(len(labels), of)["loss"]


def _predictions(logits: Logits, rows: slice) -> list[LogProbs]:
    return [as_log_probs(torch.from_numpy(np.array(each[rows])).float().log_softmax(1)) for each in logits]
