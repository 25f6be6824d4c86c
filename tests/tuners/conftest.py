"""A small foundation for tuners: a random text tower, three classes and a vector for each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from srrs.models.base import VisionLanguage
from srrs.models.hub import load_model
from srrs.records import Batch
from srrs.tuners import Foundation
from srrs.tuners.prompt import zero_shot_weights

NAMES = ("cat", "dog", "sea horse")


@pytest.fixture(scope="session")
def tower(clip_folder: Path) -> VisionLanguage:
    return load_model(str(clip_folder), device="cpu")


@pytest.fixture
def foundation(tower: VisionLanguage) -> Callable[..., Foundation]:
    """`(field=value, ...)`: a foundation over the tower with some fields replaced."""

    def make(**changes: Any) -> Foundation:
        fields: dict[str, Any] = {
            "class_names": NAMES,
            "feature_size": tower.feature_size,
            "logit_scale": tower.logit_scale,
            "device": tower.device,
            "text": tower,
            "class_vectors": zero_shot_weights(tower, NAMES),
            "descriptions": ("a tail", "two legs", None),
            "generator": torch.Generator().manual_seed(0),
        }
        return Foundation(**(fields | changes))

    return make


@pytest.fixture
def images(tower: VisionLanguage) -> Batch:
    """Eleven unit-length features."""
    drawn = torch.randn(11, tower.feature_size, generator=torch.Generator().manual_seed(1))
    return Batch(features=normalize(drawn, dim=1))
