"""The fingerprint of a model, for caches and saved classifiers: a digest of everything on which its features depend."""

import hashlib
import json
from typing import Any

import torch

from srrs.models.frozen import Kernel
from srrs.models.preprocess import Preprocessing


def digest(
    model: Any,
    config: bytes,
    preprocessing: Preprocessing,
    dtype: torch.dtype = torch.float32,
    kernel: Kernel = "torch",
) -> str:
    """Return a digest of the configuration, the preprocessing, and the name, shape and bytes of every weight.

    After the digest and a dash comes the precision, unless the precision is float32. After another dash comes the
    kernel, unless the kernel is that of torch.

    Parameters
    ----------
    model : a torch module on the CPU, in float32.
    config : settings that the weights do not contain, such as the activation, as bytes.
    preprocessing : the preprocessing of the images.
    dtype : the precision in which the model will run.
    kernel : the kernel that will multiply by the weights; see `srrs.models.frozen`.
    """
    sha = hashlib.sha256(config)
    sha.update(json.dumps(preprocessing.to_json(), sort_keys=True).encode())
    for key, weight in sorted(model.state_dict().items()):
        sha.update(f"{key} {tuple(weight.shape)}".encode())
        sha.update(weight.reshape(-1).view(torch.uint8).numpy().data)
    precision = "" if dtype == torch.float32 else f"-{str(dtype).removeprefix('torch.')}"
    return sha.hexdigest()[:32] + precision + ("" if kernel == "torch" else f"-{kernel.partition('-')[0]}")


def same_weights(one: str, other: str) -> bool:
    """Return whether two fingerprints have the same weights and preprocessing. Precision and kernel may differ."""
    return one.partition("-")[0] == other.partition("-")[0]
