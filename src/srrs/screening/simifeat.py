"""Training-free screening by the labels of the nearest neighbors (SimiFeat, Zhu et al. 2022).

N samples, C classes, D feature size.
"""

import numpy as np

from srrs.core.neighbors import nearest_in_order
from srrs.records import Floats, Group, Ints, NoiseEstimate, Partition
from srrs.screening.common import of_given, two_groups
from srrs.screening.estimators import given_is_true, hoc


def neighbor_votes(labels: Ints, features: Floats, classes: int, *, k: int = 10, order: Ints | None = None) -> Floats:
    """Return the votes (N, C) for the label of each sample. The voters are the sample and its k - 1 nearest neighbors.

    A voter votes for its given label. The weight of a neighbor's vote is its cosine similarity; negative similarities
    count as 0. As in the released code, the weight of the sample's own vote is `2 s_1 - s_2`, where s_1 and s_2 are the
    similarities of the nearest and the second-nearest neighbor. At least two neighbors vote. With fewer than k samples,
    all samples vote.

    Parameters
    ----------
    labels : (N,) given labels.
    features : (N, D).
    classes : C.
    k : number of voters.
    order : (N,) positions of the samples, in the order that breaks ties among neighbors; by default 0 to N - 1.
    """
    indices, similarity = nearest_in_order(features, min(max(k - 1, 2), len(labels) - 1), order)
    second = similarity[:, min(1, similarity.shape[1] - 1)]
    own = 2 * similarity[:, 0] - second
    votes = np.zeros((len(labels), classes))
    voters, weights = np.column_stack([labels, labels[indices]]), np.column_stack([own, similarity])
    np.add.at(votes, (np.arange(len(labels))[:, None], voters), np.maximum(weights, 0))
    return votes + 1e-9


def simifeat_vote(labels: Ints, features: Floats, classes: int, *, k: int = 10, order: Ints | None = None) -> Partition:
    """Call a label noisy if another class has more votes, else clean (SimiFeat-V).

    `p_clean` is the share of the votes that the given label has. See `neighbor_votes` for the arguments.
    """
    votes = neighbor_votes(labels, features, classes, k=k, order=order)
    p_clean = of_given(votes / votes.sum(1, keepdims=True), labels)
    return two_groups(votes.argmax(1) == labels, p_clean)


def simifeat_rank(labels: Ints, features: Floats, classes: int, *, k: int = 10, order: Ints | None = None) -> Partition:
    """Call the labels of each class with the lowest scores noisy, as many as HOC estimates to be wrong (SimiFeat-R).

    The score is the cosine of the votes (C,) and the one-hot given label. As in the released code, the share of noisy
    labels in a class is at most 0.95, and it is 0.05 if HOC estimates that none is wrong. The released code also adds a
    random number to the share; this function does not. See `neighbor_votes` for the arguments.
    """
    votes = neighbor_votes(labels, features, classes, k=k, order=order)
    score = of_given(votes / np.linalg.norm(votes, axis=1, keepdims=True), labels)
    matrix, prior = hoc(labels, features, classes, order=order)
    wrong = 1 - given_is_true(labels, matrix, prior)
    wrong = np.where(wrong <= 0, 0.05, np.minimum(wrong, 0.95))
    group = np.full(len(labels), Group.CLEAN, dtype=np.int8)
    for j in np.unique(labels):
        members = labels == j
        group[members & (score <= np.quantile(score[members], wrong[j]))] = Group.NOISY
    rate, flagged = float(1 - prior @ matrix.diagonal()), float((group == Group.NOISY).mean())
    return Partition(group, np.clip(score, 0, 1), NoiseEstimate(rate, min(rate, flagged), max(rate, flagged)))
