"""What is tuned on: cached features, given labels, and what can be asked of the frozen models."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from srrs.core.blocks import is_large, single
from srrs.core.keyed import Keys, content_keys
from srrs.models.base import VisionLanguage
from srrs.records import Floats, Ints, MatchScores


@dataclass(frozen=True)
class Task:
    """Usable samples in canonical order, with the frozen model that encoded them."""

    model: VisionLanguage
    class_names: tuple[str, ...]
    descriptions: tuple[str | None, ...]
    """(C,) what the micro prompt adds to each class name; None where there is no description."""
    ids: tuple[str, ...]
    labels: Ints
    plain: Floats
    """(N, D) unit-length features of the plain view."""
    views: Floats
    """(N, V, D) unit-length features of the augmented views; V may be 0."""
    match: MatchScores | None = field(default=None, repr=False)
    zero_shot: Floats | None = None
    """(N, C) what stands for the zero-shot prediction where the model knows nothing of the classes."""

    @cached_property
    def keys(self) -> Keys:
        """(N,) content keys for every random draw."""
        return content_keys(self.plain)

    @cached_property
    def all_views(self) -> Tensor:
        """(N, 1 + V, D) the plain view first."""
        stacked = np.concatenate([self.plain[:, None], self.views], axis=1)
        return torch.from_numpy(np.asarray(stacked, dtype=np.float32)).to(self.model.device)

    @cached_property
    def mean_view(self) -> Tensor:
        """(N, D) mean over all views, not renormalised: its logits are the mean of the views' logits."""
        return self.all_views.mean(1)

    def mean_view_of(self, rows: slice) -> Tensor:
        """(n, D) `mean_view` of some rows; of very many samples only those rows are read."""
        if not is_large(len(self.labels)):
            return self.mean_view[rows]
        total, views = single(self.plain[rows]).to(self.model.device), self.views.shape[1]
        for view in range(views):
            total += single(self.views[rows, view]).to(self.model.device)
        return total.div_(1 + views) if views else total

    def views_of(self, rows: Ints, views: Ints) -> Tensor:
        """(n, count, D) chosen views (n, count) of some rows (n,), 0 being the plain one; reads no others of many."""
        where = torch.from_numpy(np.arange(len(rows)))[:, None].to(self.model.device)
        chosen = torch.from_numpy(views).to(self.model.device)
        if not is_large(len(self.labels)):
            return self.all_views[torch.from_numpy(rows)[:, None].to(self.model.device), chosen]
        stacked = np.concatenate([self.plain[rows][:, None], self.views[rows]], axis=1)
        return torch.from_numpy(stacked).to(self.model.device).float()[where, chosen]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn. The budget is counted in steps: one text pass per learner each."""

    steps: int = 60
    batch: int = 512
    """Samples per step."""
    views: int = 4
    """Views of each sample per step."""
    learning_rate: float = 0.4
    warm_up_rate: float = 1e-5
    """Learning rate of the first 2 % of the steps, as CoOp's first epoch."""
