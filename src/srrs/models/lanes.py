"""Independent parts of a CPU computation, computed in parallel threads ("lanes").

torch divides each operation among its threads, and the threads wait for each other at the end of every operation. A
pass through a tower has hundreds of operations. If the operating system suspends one thread for another program, all
threads wait. Here, each thread computes whole parts instead, such as a few images through all layers, so the threads
wait for each other only once. The division into parts does not depend on the number of threads, so the result does not
depend on it either.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import Lock, local
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Part = TypeVar("Part")
Result = TypeVar("Result")
_pools: dict[int, ThreadPoolExecutor] = {}
_lock = Lock()
_here = local()
"""Attributes of the present thread. `is_lane` is true in a thread that runs a part. Lanes are not nested."""
os.register_at_fork(after_in_child=_pools.clear)  # threads do not survive a fork


def in_lanes(function: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """Return `[function(part) for part in parts]`, computed in as many threads as torch uses.

    Each part runs in the caller's gradient mode. Within a part, torch uses one thread, or more if there are fewer parts
    than threads. If there is only one part, the work is small, and torch uses one thread for it.
    """
    threads = torch.get_num_threads()
    lanes = min(threads, len(parts))
    if lanes < 2 or getattr(_here, "is_lane", False):
        with one_thread():
            return [function(part) for part in parts]
    inference, gradient = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def run(part: Part) -> Result:
        _here.is_lane = True
        torch.set_num_threads(threads // lanes)
        with ExitStack() as modes:
            modes.enter_context(torch.inference_mode(inference))
            if not inference:
                modes.enter_context(torch.set_grad_enabled(gradient))
            return function(part)

    try:
        return list(_pool(lanes).map(run, parts))
    finally:
        torch.set_num_threads(threads)  # threads that start later begin with this number


Encode = Callable[[int, Tensor, Sequence[Tensor]], Tensor]
"""`(number, part, shared) -> result`: the number of a part, the part, and the tensors that all parts read."""


def differentiable_lanes(
    function: Encode, parts: Sequence[Tensor], shared: Sequence[Tensor] = (), *, recompute: bool = False
) -> list[Tensor]:
    """Return `[function(number, part, shared) for number, part in enumerate(parts)]`, computed in threads.

    `shared` are tensors that all parts read. Each part has its own autograd graph. The backward pass also runs the
    graphs of the parts in threads, and adds the gradients of `shared` in the order of the parts. With `recompute`, the
    graphs are not kept if there are several parts, and the backward pass computes each part again. On devices other
    than the CPU, the parts run one after the other.
    """
    learns = torch.is_grad_enabled() and any(x.requires_grad for x in (*parts, *shared))
    if learns:
        found = _Lanes.apply(function, recompute and len(parts) > 1, len(parts), *parts, *shared)  # type: ignore[no-untyped-call]
        return list(cast(tuple[Tensor, ...], found))
    return _run(lambda at: function(at, parts[at], shared), len(parts), parts[0])


Graph = tuple[list[Tensor], Tensor]
"""The leaf tensors (the part and the shared tensors) and the result of a part."""


class _Lanes(torch.autograd.Function):
    """The differentiable function of `differentiable_lanes`."""

    @staticmethod
    def forward(ctx: Any, function: Encode, recompute: bool, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        wanted = ctx.needs_input_grad[3:]
        ctx.wanted = [(wanted[at], *wanted[count:]) for at in range(count)]
        ctx.function, ctx.count = function, count
        if recompute:
            ctx.graphs = None
            ctx.save_for_backward(*tensors)
            results = _run(lambda at: function(at, tensors[at], tensors[count:]), count, tensors[0])
            return tuple(results)
        ctx.graphs = _run(lambda at: _graph(ctx, at, tensors), count, tensors[0])
        return tuple(result.detach() for _, result in ctx.graphs)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors if ctx.graphs is None else ()

        def run(at: int) -> list[Tensor | None]:
            leaves, result = _graph(ctx, at, tensors) if ctx.graphs is None else ctx.graphs[at]
            asked = [leaf for leaf, wanted in zip(leaves, ctx.wanted[at], strict=True) if wanted]
            found = iter(torch.autograd.grad(result, asked, gradients[at]))
            return [next(found) if wanted else None for wanted in ctx.wanted[at]]

        each = _run(run, ctx.count, gradients[0])
        shared = [_sum([found[at] for found in each]) for at in range(1, len(each[0]))]
        return None, None, None, *(found[0] for found in each), *shared


def _graph(ctx: Any, at: int, tensors: Sequence[Tensor]) -> Graph:
    """Return the graph of one part: its own leaf tensors, and the result, computed with gradients."""
    own = (tensors[at], *tensors[ctx.count :])
    leaves = [x.detach().requires_grad_(wanted) for x, wanted in zip(own, ctx.wanted[at], strict=True)]
    with torch.enable_grad():
        return leaves, ctx.function(at, leaves[0], leaves[1:])


def _run(function: Callable[[int], Result], count: int, like: Tensor) -> list[Result]:
    """Return `function(0), ..., function(count - 1)`, computed in threads if the tensor `like` is on the CPU."""
    if like.device.type != "cpu":
        return [function(at) for at in range(count)]
    return in_lanes(function, range(count))


def _sum(gradients: Sequence[Tensor | None]) -> Tensor | None:
    """Return the sum of the gradients that are not None, in order; None if all are None."""
    known = [gradient for gradient in gradients if gradient is not None]
    return torch.stack(known).sum(0) if known else None


@contextmanager
def one_thread() -> Iterator[None]:
    """Within this block, let torch use one thread, for matrices that are too small for several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def even_parts(items: int, parts: int) -> list[int]:
    """Return the sizes of `parts` parts of `items` items. The sizes differ by at most one, and no part is empty."""
    parts = max(1, min(items, parts))
    return [items // parts + (place < items % parts) for place in range(parts)]


def _pool(lanes: int) -> ThreadPoolExecutor:
    """Return the pool with this number of threads, which is made at the first call."""
    with _lock:
        if lanes not in _pools:
            _pools[lanes] = ThreadPoolExecutor(lanes, "srrs-lane")
        return _pools[lanes]
