"""A tuned classifier as one ONNX graph from pixels to probabilities: the image tower and the head (class weights).

The input of the graph is pixels, because resizing differs between libraries. A JSON file beside the graph describes the
preprocessing. Between tower and head, features are rounded to float16. srrs stores features in float16, too, so that
the graph and `predict_proba` return the same probabilities up to rounding. C classes, D feature size.
"""

import json
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from srrs.errors import MissingExtraError, ModelError
from srrs.io import write_atomic
from srrs.models.base import ImageTower
from srrs.models.frozen import unpacked
from srrs.records import Floats

FORMAT = 1
"""Version of the format of the JSON file."""
LARGEST = 2**31
"""Largest number of bytes of a file with a graph and its weights."""


class _Classifier(torch.nn.Module):
    """Module from pixels (B, 3, H, W) to probabilities (B, C), for B images."""

    def __init__(self, tower: ImageTower, head: Floats, scale: float, bias: Floats):
        super().__init__()
        self.tower = tower
        self.register_buffer("head", torch.from_numpy(head) * scale)
        self.register_buffer("bias", torch.from_numpy(bias))

    def forward(self, pixels: Tensor) -> Tensor:
        features = self.tower.encode_images(pixels).to(torch.float16).to(torch.float32)
        return (features @ self.get_buffer("head").T + self.get_buffer("bias")).softmax(1)


def write_onnx(
    tower: ImageTower,
    head: Floats,
    class_names: Sequence[str],
    path: str | os.PathLike[str],
    *,
    scale: float,
    bias: Floats,
) -> tuple[Path, Path]:
    """Write the graph to `path`, and `<path>.json` with its input, output, classes and preprocessing.

    Return both paths.

    Parameters
    ----------
    tower : the image tower, in float32 on the CPU.
    head : (C, D) class weights.
    class_names : (C,) the class names.
    path : the file to write.
    scale : factor by which the similarities of images and classes are multiplied.
    bias : (C,) numbers that are added to the logits.

    Raises
    ------
    MissingExtraError
        onnx or onnxscript is not installed.
    ModelError
        The tower has an operation that ONNX lacks, or the graph has 2 GB (2^31 bytes) or more.
    DataError
        The path cannot be written.
    """
    path = Path(path)
    shape = tuple(tower.preprocess(_blank()).shape)
    with unpacked(tower):
        graph = _graph(_Classifier(tower, head, scale, bias).eval(), torch.zeros(2, *shape), tower.name)
    about = {
        "format": FORMAT,
        "model": tower.name,
        "model_fingerprint": tower.fingerprint,
        "input": {"name": "pixels", "shape": ["batch", *shape], "type": "float32"},
        "output": {"name": "probabilities", "shape": ["batch", len(class_names)], "type": "float32"},
        "class_names": list(class_names),
        "preprocessing": tower.preprocessing,
        "preprocessing_order": "RGB, resize (an integer is the shorter side), center crop, rescale, (x - mean) / std",
    }
    write_atomic(path, graph)
    return path, write_atomic(path.with_name(f"{path.name}.json"), json.dumps(about, indent=1).encode())


def _graph(module: _Classifier, pixels: Tensor, name: str) -> bytes:
    """Return the ONNX graph of a module. `pixels` is an example of its input, and `name` is the name of the tower."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(str(error.name), "onnx", "An ONNX graph") from None
    try:
        with _quiet():
            program: Any = torch.onnx.export(
                module, (pixels,), input_names=["pixels"], output_names=["probabilities"], dynamo=True, verbose=False,
                dynamic_shapes={"pixels": {0: torch.export.Dim("batch")}},
            )  # fmt: skip
    except torch.onnx.OnnxExporterError as error:
        raise ModelError(f"The image tower of {name!r} cannot be written as ONNX: {_first_line(error)}") from None
    size = sum(value.const_value.nbytes for value in program.model.graph.initializers.values())
    if size >= LARGEST:
        raise ModelError(f"Expected an image tower below 2 GB, as one ONNX file can hold, but it has {size:,} bytes.")
    return bytes(program.model_proto.SerializeToString())


def _blank() -> Any:
    """Return a small image, from which the shape of preprocessed images is computed."""
    from PIL import Image

    return Image.new("RGB", (8, 8))


def _first_line(error: Exception) -> str:
    """Return the first line of an error's message, or the error's type if it has no message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Within this block, the exporter prints no warnings on missing packages. Errors are still raised."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
