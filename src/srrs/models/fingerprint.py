"""What a model is known by in caches and saved classifiers: a hash of everything that decides its features."""

import hashlib
import json
from typing import Any

import torch

from srrs.models.preprocess import Preprocessing


def digest(model: Any, config: bytes, preprocessing: Preprocessing, dtype: torch.dtype = torch.float32) -> str:
    """Hash of the configuration, of the preprocessing, and of every weight by name, shape and bytes.

    Parameters
    ----------
    model : a torch module on the CPU, in float32.
    config : what the weights do not tell, such as the activation, as bytes.
    dtype : the precision it will run in; one other than float32 is named behind a dash.
    """
    sha = hashlib.sha256(config)
    sha.update(json.dumps(preprocessing.to_json(), sort_keys=True).encode())
    for key, weight in sorted(model.state_dict().items()):
        sha.update(f"{key} {tuple(weight.shape)}".encode())
        sha.update(weight.reshape(-1).view(torch.uint8).numpy().data)
    suffix = "" if dtype == torch.float32 else f"-{str(dtype).removeprefix('torch.')}"
    return sha.hexdigest()[:32] + suffix
