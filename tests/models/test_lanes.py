"""Parts side by side in threads: the same results, modes and threads as one after the other."""

import threading

import pytest
import torch
from torch import Tensor

from srrs.models.lanes import differentiable_lanes, even_parts, in_lanes, one_thread


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    assert torch.get_num_threads() == request.param
    torch.set_num_threads(before)


def test_results_come_in_the_order_of_the_parts_and_each_part_has_its_share_of_threads(threads: int) -> None:
    found = in_lanes(lambda part: (part, torch.get_num_threads()), range(7))
    assert [part for part, _ in found] == list(range(7))
    assert {count for _, count in found} == {1}
    assert in_lanes(lambda part: torch.get_num_threads(), [0]) == [1]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_parts_run_in_the_callers_mode(threads: int, mode) -> None:
    with mode():
        expected = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        found = in_lanes(lambda part: (torch.is_grad_enabled(), torch.is_inference_mode_enabled()), range(3))
    assert set(found) == {expected}


def test_an_error_in_a_part_is_raised_and_lanes_inside_lanes_run_in_their_own(threads: int) -> None:
    with pytest.raises(ZeroDivisionError):
        in_lanes(lambda part: 1 // part, [1, 0])
    names = in_lanes(lambda part: set(in_lanes(lambda _: threading.current_thread().name, range(3))), range(3))
    assert all(len(own) == 1 for own in names)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("learns", ["both", "parts", "shared", "neither"])
def test_gradients_are_those_of_the_parts_one_after_the_other(threads: int, recompute: bool, learns: str) -> None:
    draw = torch.Generator().manual_seed(0)
    data = torch.randn(6, 4, generator=draw)
    common = [torch.randn(4, 4, generator=draw), torch.randn(4, generator=draw)]

    def function(number: int, part: Tensor, shared: list[Tensor]) -> Tensor:
        return torch.tanh(part @ shared[0] + shared[1]) * (number + 1)

    results = []
    for lanes in (True, False):
        x = data.clone().requires_grad_(learns in ("both", "parts"))
        shared = [value.clone().requires_grad_(learns in ("both", "shared")) for value in common]
        pieces = torch.split(x, [3, 1, 2])
        run = (
            differentiable_lanes(function, pieces, shared, recompute=recompute)
            if lanes
            else [function(number, piece, shared) for number, piece in enumerate(pieces)]
        )
        out = torch.cat(run)
        if learns != "neither":
            out.square().sum().backward()
        results.append((out.detach(), x.grad, *(value.grad for value in shared)))
    for ours, theirs in zip(*results, strict=True):
        assert (ours is None) == (theirs is None)
        if theirs is not None:
            torch.testing.assert_close(ours, theirs)


def test_even_parts_and_one_thread(threads: int) -> None:
    assert even_parts(7, 3) == [3, 2, 2]
    assert even_parts(2, 5) == [1, 1]
    with one_thread():
        assert torch.get_num_threads() == 1
