"""The folder of a tuned classifier: `config.json`, `head.safetensors` and `prompts.safetensors`, with validation.

C classes, D feature size.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from srrs import checksum
from srrs.config import Settings, sentence
from srrs.errors import DataError, SettingsError
from srrs.io import read_bytes, save_tensors, write_atomic
from srrs.records import Floats

FORMAT = 1
"""Version of the format of the folder."""


class Config(BaseModel):
    """The content of `config.json`. The fields are the format, the versions, and those of `Saved` without arrays."""

    model_config = ConfigDict(strict=True, frozen=True)

    format: Literal[1]
    class_names: Annotated[list[str | int | float | bool], Field(min_length=2)]
    logit_scale: Annotated[float, Field(allow_inf_nan=False)]
    model_fingerprint: str
    settings: dict[str, Any]
    preprocessing: dict[str, Any] = {}
    versions: dict[str, Any] = {}


@dataclass(frozen=True, eq=False)
class Saved:
    """A classifier that is linear in the features, as arrays."""

    settings: Settings
    """The settings of the classifier."""
    class_names: list[str | int | float | bool]
    """(C,) the classes: names, or labels of an array."""
    head: Floats
    """(C, D) class weights."""
    bias: Floats
    """(C,) numbers that are added to the logits."""
    logit_scale: float
    """Factor from the cosine of an image and a class to the logit."""
    parameters: dict[str, Floats]
    """Tuned parameters by tuner and name, such as `macro.context`."""
    model_fingerprint: str
    """Fingerprint of the frozen model."""
    preprocessing: dict[str, Any]
    """Preprocessing of the images, as JSON; empty without a model."""

    def write(self, folder: Path, versions: dict[str, str]) -> Path:
        """Write the three files, and return the folder. Prediction from them needs no text tower.

        `versions` contains the versions of packages, for people who read the file.
        """
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "format": FORMAT,
            "class_names": self.class_names,
            "logit_scale": self.logit_scale,
            "model_fingerprint": self.model_fingerprint,
            "preprocessing": self.preprocessing,
            "settings": self.settings.flat(),
            "versions": versions,
        }
        head = {"head": np.ascontiguousarray(self.head), "bias": np.ascontiguousarray(self.bias)}
        parameters = {name: np.ascontiguousarray(array) for name, array in self.parameters.items()}
        save_tensors(folder / "head.safetensors", head)
        save_tensors(folder / "prompts.safetensors", parameters)
        write_atomic(folder / "config.json", (json.dumps(config, indent=1, allow_nan=False) + "\n").encode())
        return folder


def read_saved(folder: Path) -> Saved:
    """Return the classifier in a folder that `Saved.write` wrote.

    Raises
    ------
    DataError
        A file is missing or damaged, has another format, or does not match the other files.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        content = json.loads(read_bytes(folder / "config.json"))
        head = load(read_bytes(folder / "head.safetensors"))
        parameters = load(read_bytes(folder / "prompts.safetensors"))
    except (OSError, ValueError, KeyError, TypeError, RecursionError, MemoryError, SafetensorError) as error:
        raise DataError(
            f"Expected a folder written by `srrs fit --out` at '{folder}', but it cannot be read: {error}"
        ) from None
    for name in ("head.safetensors", "prompts.safetensors"):
        if checksum.is_whole(folder / name) is False:
            raise _damaged(folder, f"{name} is not as it was written (its checksum differs)")
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT or isinstance(found, bool):
        raise DataError(f"'{folder}' has format {found}, but this version reads format {FORMAT}.")
    try:
        config = Config.model_validate(content)
        settings = Settings.of(config.settings)
    except ValidationError as error:
        raise _damaged(folder, sentence(error)) from None
    except SettingsError as error:
        raise _damaged(folder, str(error)) from None
    weights, bias = _arrays(folder, head, len(config.class_names))
    if len(set(map(repr, config.class_names))) < len(config.class_names):
        raise _damaged(folder, "class_names holds a class twice")
    return Saved(
        settings=settings, class_names=config.class_names, head=weights, bias=bias, logit_scale=config.logit_scale,
        parameters=parameters, model_fingerprint=config.model_fingerprint, preprocessing=config.preprocessing,
    )  # fmt: skip


def _arrays(folder: Path, head: dict[str, Floats], classes: int) -> tuple[Floats, Floats]:
    """Return the head (C, D) and its bias (C,). Raises DataError if they do not have these shapes or are not finite."""
    weights = head.get("head")
    if weights is None or weights.ndim != 2 or len(weights) != classes or not weights.size:
        shape = "no array 'head'" if weights is None else f"one of shape {weights.shape}"
        raise _damaged(folder, f"expected a head of {classes} rows in head.safetensors, but found {shape}")
    bias = head.get("bias", np.zeros(classes, np.float32))
    if bias.shape != (classes,):
        raise _damaged(folder, f"expected a bias of {classes} numbers in head.safetensors, but found {bias.shape}")
    for name, array in (("head", weights), ("bias", bias)):
        if not np.issubdtype(array.dtype, np.floating) or not math.isfinite(float(np.abs(array).max())):
            raise _damaged(folder, f"expected finite numbers in '{name}' of head.safetensors")
    return weights.astype(np.float32, copy=False), bias.astype(np.float32, copy=False)


def _damaged(folder: Path, reason: str) -> DataError:
    """Return the error for a folder that is damaged or was edited."""
    return DataError(f"The saved model '{folder}' is damaged or was edited: {reason}. Fit it again.")
