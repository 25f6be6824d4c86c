"""Joint training with co-regularization: JoCoR's loss (Wei et al. 2020)."""

from torch import Tensor

from srrs.methods.stages import LabeledBatch, Loss
from srrs.screening.joint import check_rate, count_kept, joint_loss


def small_joint_loss(noise_rate: float, agreement: float = 0.5) -> Loss:
    """Return JoCoR's loss of a step: the mean joint loss of the rows with a small joint loss.

    The joint loss is the cross-entropy of both classifiers plus their disagreement (see
    `srrs.screening.joint.joint_loss`). The share `noise_rate` of the rows, those with the largest joint loss, is left
    out. At least one row is kept, even at a noise rate of 1. `agreement` is the weight of the disagreement. Raises
    ValueError unless `0 <= noise_rate <= 1`. The loss raises ValueError unless there are two classifiers and
    `0 <= agreement < 1`.
    """
    check_rate(noise_rate)

    def loss(logits: Tensor, batch: LabeledBatch) -> Tensor:
        per_sample = joint_loss(logits.log_softmax(2), batch.soft, agreement)
        count = max(1, count_kept(len(per_sample), noise_rate))
        kept = per_sample.detach().topk(count, largest=False).indices
        weight = batch.weight[kept]
        return (per_sample[kept] * weight).sum() / weight.sum().clamp(min=1e-6)

    return loss
