"""The hash of a model; that loading uses it is tested with each kind of model."""

from dataclasses import replace

import torch

from srrs.models.fingerprint import digest
from srrs.models.preprocess import Preprocessing

PREPROCESSING = Preprocessing(resize=32, crop=(32, 32), resample=3, rescale=1 / 255, mean=(0.5,) * 3, std=(0.5,) * 3)


def model(seed: int = 0, bias: bool = True) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Linear(3, 2, bias=bias)


def test_everything_that_decides_the_features_decides_the_hash() -> None:
    found = [
        digest(model(), b"{}", PREPROCESSING),
        digest(model(seed=1), b"{}", PREPROCESSING),
        digest(model(bias=False), b"{}", PREPROCESSING),
        digest(model(), b"{1}", PREPROCESSING),
        digest(model(), b"{}", replace(PREPROCESSING, resample=2)),
        digest(model(), b"{}", replace(PREPROCESSING, round_crop=True)),
        digest(model(), b"{}", PREPROCESSING, torch.bfloat16),
    ]
    assert len(set(found)) == len(found)
    assert found[-1] == f"{found[0]}-bfloat16"
    assert digest(model(), b"{}", PREPROCESSING) == found[0]
