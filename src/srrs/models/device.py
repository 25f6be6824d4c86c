"""The device and the precision of a model."""

import torch

from srrs.errors import SettingsError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Precisions by name."""


def choose_device(name: str = "auto") -> torch.device:
    """Return the device with this name. `auto` means CUDA if it is available, then MPS, then the CPU.

    Raises
    ------
    SettingsError
        The name is not that of a device, or the device is not available.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda", "mps"):
        raise SettingsError(f"Expected a device auto, cpu, cuda, cuda:N or mps, but found {name!r}.")
    if not _is_there(device):
        raise SettingsError(f"The device {name!r} is not available here: use auto or cpu.")
    return device


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the precision with this name. `auto` means bf16 on a CUDA device that supports it, else fp32.

    Raises
    ------
    SettingsError
        The name is not auto, fp32, bf16 or fp16.
    """
    if name == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if fast else torch.float32
    if name not in PRECISIONS:
        raise SettingsError(f"Expected a precision auto, fp32, bf16 or fp16, but found {name!r}.")
    return PRECISIONS[name]


def _is_there(device: torch.device) -> bool:
    """Return whether the device is available."""
    if device.type == "cuda":
        return torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
    return device.type == "cpu" or torch.backends.mps.is_available()
