"""What every benchmark needs: times taken in turn, peak memory of a fresh process, how far two results are apart."""

import importlib.util
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from srrs.models.frozen import FrozenLinear, computes_bf16, kernel_for

Cell = object
Table = dict[str, dict[str, Cell]]
"""Case -> column -> value."""
Clock = Callable[[], float]
"""Does a piece of work once and says how many seconds it took."""
__all__ = ["computes_bf16"]  # of srrs.models.frozen, for the benchmarks


class Seconds(NamedTuple):
    """What some repetitions took."""

    median: float
    low: float
    high: float

    @property
    def spread(self) -> float:
        """From the fastest to the slowest, as a share of the median."""
        return (self.high - self.low) / self.median


def timed(work: Callable[[], object], device: torch.device | None = None) -> Clock:
    """A clock around `work`, which waits for a CUDA device to finish."""

    def clock() -> float:
        synchronise(device)
        started = time.perf_counter()
        work()
        synchronise(device)
        return time.perf_counter() - started

    return clock


def synchronise(device: torch.device | None) -> None:
    """Wait until the device has done what it was told."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)


def alternate(clocks: Mapping[str, Clock], repeats: int) -> dict[str, Seconds]:
    """Every clock once per round, in turn, so that whatever else the machine does hits them alike.

    The first round warms up and counts only where there is no other.
    """
    taken: dict[str, list[float]] = {name: [] for name in clocks}
    for _ in range(repeats + (repeats > 1)):
        for name, clock in clocks.items():
            taken[name].append(clock())
    return {name: summary(seconds[repeats > 1 :]) for name, seconds in taken.items()}


def summary(seconds: list[float]) -> Seconds:
    """Median, fastest and slowest."""
    return Seconds(statistics.median(seconds), min(seconds), max(seconds))


def relative_difference(ours: Tensor, theirs: Tensor) -> float:
    """Largest absolute difference over largest absolute value."""
    ours, theirs = ours.detach().double(), theirs.detach().double()
    return float((ours - theirs).abs().max() / theirs.abs().max())


class Peak(NamedTuple):
    """Resident memory of a process in MB: the most before a piece of work, and the most after it."""

    before: float
    after: float


def fresh_peak(module: str, maker: str, **arguments: object) -> Peak:
    """Peak memory of `benchmarks.<module>.<maker>(**arguments)()`, in a process that does nothing else.

    Raises
    ------
    MemoryError
        If that process is killed or fails.
    """
    order = json.dumps([module, maker, arguments, torch.get_num_threads()])
    done = subprocess.run([sys.executable, __file__, order], capture_output=True, text=True, check=False)
    if done.returncode:
        raise MemoryError(f"{module}.{maker} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return Peak(*json.loads(done.stdout.splitlines()[-1]))


def peak_memory() -> float:
    """Most resident memory of this process so far, in MB.

    Linux's VmHWM counts this program alone; the peak of `getrusage` may be that of the process that started it.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    unit = 1 if platform.system() == "Darwin" else 1024  # bytes there, KB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def available_memory() -> float:
    """Memory that could be taken now, in MB; infinite where the system does not say."""
    status = Path("/proc/meminfo")
    if not status.is_file():
        return float("inf")
    line = next(line for line in status.read_text().splitlines() if line.startswith("MemAvailable"))
    return int(line.split()[1]) / 1024


def best_rate(rows: int, inner: int, columns: int, dtype: torch.dtype, device: torch.device, repeats: int) -> float:
    """Operations per second of `(rows, inner) x (inner, columns)` by the fastest library here; a multiply-add counts 2.

    The libraries are torch, oneDNN on a packed weight, and ONNX Runtime (float32 on a CPU).
    """
    left = torch.randn(rows, inner).to(device, dtype)
    right = torch.randn(columns, inner).to(device, dtype)
    works: list[Callable[[], object]] = [lambda: torch.nn.functional.linear(left, right)]
    if kernel_for(device, dtype) == "onednn-packed":
        layer = torch.nn.Linear(inner, columns, bias=False, device="meta")
        layer.weight = torch.nn.Parameter(right, requires_grad=False)
        works.append(partial(FrozenLinear(layer), left))
    if device.type == "cpu" and dtype == torch.float32 and importlib.util.find_spec("onnxruntime"):
        works.append(_onnx_product(left, right))
    clocks = [timed(work, device) for work in works]
    best = min(clock() for _ in range(repeats + 2) for clock in clocks)
    return 2.0 * rows * inner * columns / best


def _onnx_product(left: Tensor, right: Tensor) -> Callable[[], object]:
    """The product of `left` with the transpose of `right`, a constant, by ONNX Runtime."""
    from onnx import TensorProto, helper, numpy_helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None]) for name in ("x", "y")]
    weight = numpy_helper.from_array(right.T.contiguous().numpy(), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "product", ends[:1], ends[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = onnx_session(model.SerializeToString())
    fed = {"x": left.numpy()}
    return lambda: session.run(None, fed)


def onnx_session(model: bytes) -> Any:
    """An ONNX Runtime session on the CPU with as many threads as torch."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _child(order: str) -> None:
    module, maker, arguments, threads = json.loads(order)
    torch.set_num_threads(threads)
    work = getattr(import_module(module), maker)(**arguments)
    before = peak_memory()
    work()
    sys.stdout.write(f"\n{json.dumps([before, peak_memory()])}\n")


if __name__ == "__main__":
    _child(sys.argv[1])
