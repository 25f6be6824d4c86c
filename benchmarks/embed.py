"""Embedding images: our image pass beside the tower's own forward, ONNX Runtime and OpenVINO, on the same weights.

All towers encode the same pixels, which lie in memory, in the same batches. `disk` is the package's own `encode` from
JPEG files: reading, hashing, decoding and resizing go on in threads while the tower works.
"""

import io
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import published
from common import Clock, Seconds, Table, alternate, computes_bf16, onnx_session, timed
from models import dual_encoder
from srrs.data.images import open_rgb
from srrs.data.samples import Samples, checked, from_paths
from srrs.features.store import encode
from srrs.models.dual import DualEncoder
from titles import NOT_MEASURED

BATCH = 64
SIZE = (640, 480)
Encode = Callable[[Tensor], Tensor]


def measure(quick: bool) -> Table:
    """A tower and a precision per row."""
    models = ("bundled",) if quick else ("vitb32", "vitb16")
    precisions = ("fp32", "bf16") if computes_bf16() else ("fp32",)
    return {
        f"{name}, {precision}": row(name, precision, count=16 if quick else BATCH, repeats=1 if quick else 5)
        for name in models
        for precision in precisions
    }


def row(name: str, precision: str, count: int, repeats: int) -> dict[str, object]:
    """Images per second of each way, in turns."""
    model, plain = dual_encoder(name, precision), dual_encoder(name, "fp32", kernels="torch")
    with tempfile.TemporaryDirectory() as folder:
        samples = photographs(Path(folder), count)
        pixels = torch.stack([model.preprocess(open_rgb(path)) for path in samples.paths])
        ways: dict[str, Encode] = {"ours": model.encode_images}
        if precision == "fp32":
            ways["own_forward"] = lambda batch: published.image_features(plain, batch)
        ways |= other_libraries(plain, pixels, precision)
        exact = published.image_features(plain, pixels)
        apart = {way: float((encode(pixels).float() - exact).abs().max()) for way, encode in ways.items()}
        clocks: dict[str, Clock] = {way: timed(lambda e=e: e(pixels)) for way, e in ways.items()}  # type: ignore[misc]
        clocks["disk"] = timed(lambda: encode(samples, range(count), model, batch=BATCH))
        seconds = alternate(clocks, repeats)
    others = [seconds[way].median for way in ("onnxruntime", "openvino") if way in seconds]
    return {
        **{f"{way}_per_s": speed(seconds, way, count) for way in ("ours", "own_forward", "onnxruntime", "openvino")},
        "ours_over_best_other": min(others) / seconds["ours"].median if others else NOT_MEASURED,
        "disk_per_s": speed(seconds, "disk", count),
        "spread": seconds["ours"].spread,
        "ours_max_difference": apart["ours"],
        "images": count,
        "pixels": "{}x{}".format(*SIZE),
    }


def speed(seconds: dict[str, Seconds], way: str, count: int) -> object:
    return count / seconds[way].median if way in seconds else NOT_MEASURED


def other_libraries(model: DualEncoder, pixels: Tensor, precision: str) -> dict[str, Encode]:
    """The tower in the libraries that are installed; ONNX Runtime has no bf16 on a CPU."""
    found: dict[str, Encode] = {}
    if not (find_spec("onnxscript") and (find_spec("onnxruntime") or find_spec("openvino"))):
        return found
    graph = onnx_graph(model, pixels[:2])
    if precision == "fp32" and find_spec("onnxruntime"):
        session = onnx_session(graph)
        found["onnxruntime"] = lambda batch: torch.from_numpy(session.run(None, {"pixels": batch.numpy()})[0])
    if find_spec("openvino"):
        found["openvino"] = openvino_tower(graph, precision)
    return found


def openvino_tower(graph: bytes, precision: str) -> Encode:
    """By itself OpenVINO computes in bf16 where the processor can, so the precision is named."""
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    core = openvino.Core()
    request = core.compile_model(core.read_model(io.BytesIO(graph)), "CPU", settings).create_infer_request()
    return lambda batch: torch.from_numpy(request.infer({"pixels": batch.numpy()})[0].copy())


class _Tower(torch.nn.Module):
    """Pixels (B, 3, H, W) -> unit features (B, D), by the tower's own forward."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        features = self.model.get_image_features(pixel_values=pixels).pooler_output
        return features / features.norm(dim=-1, keepdim=True)


def onnx_graph(model: DualEncoder, pixels: Tensor) -> bytes:
    """The image tower as one ONNX graph with weights, for any number of images."""
    program: Any = torch.onnx.export(
        _Tower(model.model).eval(), (pixels,), input_names=["pixels"], dynamo=True, verbose=False,
        dynamic_shapes={"pixels": {0: torch.export.Dim("batch")}},
    )  # fmt: skip
    return bytes(program.model_proto.SerializeToString())


def photographs(folder: Path, count: int) -> Samples:
    """JPEG files of the weight of photographs (a hundred kilobytes): a gradient, soft shapes and grain; checked."""
    generator = np.random.default_rng(0)
    width, height = SIZE
    ramp = np.linspace(0, 120, width)[None, :, None] + np.linspace(0, 60, height)[:, None, None]
    for number in range(count):
        coarse = generator.integers(0, 120, (height // 40, width // 40, 3), dtype=np.uint8)
        shapes = np.asarray(Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC))
        grain = generator.normal(0, 6, (height, width, 1))
        picture = np.clip(ramp + shapes + grain, 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{number:05}.jpg", quality=90)
    return checked(from_paths(sorted(folder.iterdir())))
